//! The rules that need more than the suite `scope` sees.

use super::*;

#[test]
fn the_seeds_own_forms_parse() {
    for (text, normal) in [
        ("{ serviceA: Site1, serviceB: Site2 }", "{serviceA: Site1, serviceB: Site2}"),
        ("{Nova: Berlin & Paris}", "{Nova: Berlin & Paris}"),
        ("{Berlin & Paris}", "{Berlin & Paris}"),
        ("{ serviceA: Site1 % Site2,prime: Site1 }", "{serviceA: Site1 % Site2, prime: Site1}"),
        ("{ serviceA: Site1 || Site2 }", "{serviceA: Site1 || Site2}"),
        ("{ around: Site1, 50ms }", "{around: Site1, 50ms}"),
        (r#"{"compute": "CloudOne", "image": "CloudTwo"}"#, "{compute: CloudOne, image: CloudTwo}"),
        ("{ compute: Paris, image: New York }", "{compute: Paris, image: New York}"),
        ("a otherwise b | c", "{a || b || c}"),
        (r#"{"a\\b": C}"#, r#"{"a\\b": C}"#),
        (r#"{"'": "\\\\"}"#, r#"{"'":"\"\\\\\""}"#),
    ] {
        let scope = parse(text).expect(text);
        assert_eq!(scope.to_string(), normal);
        assert_eq!(parse(normal).expect(normal), scope);
        assert_eq!(parse(&scope.to_json()).expect(text), scope, "{}", scope.to_json());
    }
}

#[test]
fn a_completed_scope_is_read_back() {
    for (scope, default) in [("{Nova: Berlin || Paris, default: X}", Some("Paris")), ("{Nova: Berlin}", None)] {
        let completed = Completed { scope: parse(scope).expect(scope), default: default.map(Into::into) };
        assert_eq!(Completed::parse(&completed.to_string()).expect(scope), completed);
    }
    let nothing = Completed { scope: Scope { items: Vec::new() }, default: Some("Paris".into()) };
    assert_eq!(nothing.to_string(), r#"{"default":"Paris"}"#);
    assert_eq!(Completed::parse(&nothing.to_string()).expect("valid"), nothing);
    for wrong in ["{}", "Berlin", r#"{"Nova":"Berlin"}"#, r#"{"":"Berlin","default":null}"#] {
        assert!(Completed::parse(wrong).is_err(), "{wrong}");
    }
}
