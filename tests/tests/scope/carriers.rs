//! Where a request carries its scope, and that it is cut out and nothing else.

use super::*;

#[test]
fn the_header_is_cut_and_nothing_else_changes() {
    for (fields, left) in [
        ("X-Scope: {A: B}\r\n", ""),
        ("x-sCOPE:{A: B}\r\n", ""),
        ("X-Scope: \t {A: B} \r\n", ""),
        ("One: 1\r\nX-Scope: {A: B}\r\ntWO:  2\r\nOne: 3\r\n", "One: 1\r\ntWO:  2\r\nOne: 3\r\n"),
        ("X-Scope2: {A: C}\r\nX-Scope: A: B\r\n", ""),
    ] {
        let carried = found("/x?scope=1", fields, true);
        if fields.contains("X-Scope2") {
            assert!(carried.is_err());
            continue;
        }
        let (scope, source, head) = carried.expect(fields).expect(fields);
        assert_eq!((scope.to_string().as_str(), source), ("{A: B}", Carrier::Header));
        assert_eq!(head, format!("GET /x?scope=1 HTTP/1.1\r\nHost: a\r\n{left}Z: 1\r\n\r\n"));
    }
    let (scope, ..) = found("/", "X-Scope: Berlin & Paris\r\n", false).expect("valid").expect("there");
    assert_eq!(scope.to_string(), "{Berlin & Paris}", "a header needs no braces");
}

#[test]
fn the_parameter_is_cut_with_the_sign_that_joins_it() {
    for (target, left) in [
        ("/x?scope={A:B}", "/x"),
        ("/x?scope=%7BA%3A%20B%7D", "/x"),
        ("/x?scope=%7bA:+B%7d", "/x"),
        ("/x?scope={A:B}&b=2", "/x?b=2"),
        ("/x?a=1&scope={A:B}", "/x?a=1"),
        ("/x?a=1&scope={A:B}&b=2", "/x?a=1&b=2"),
        ("/x?a=1&&scope={A:B}&&b", "/x?a=1&&&b"),
        ("/x?&scope={A:B}", "/x?"),
        ("/x?scope={A:B}&", "/x?"),
        ("/x?scope=all&scope={A:B}&scope=some", "/x?scope=all&scope=some"),
        ("/x?Scope={A:C}&scope={A:B}", "/x?Scope={A:C}"),
        ("/x?myscope={A:C}&scope={A:B}", "/x?myscope={A:C}"),
        ("/x?a=?&scope={A:B}", "/x?a=?"),
        ("http://a:80/x?scope={A:B}&b=%zz", "http://a:80/x?b=%zz"),
        ("http://a?scope={A:B}", "http://a"),
        ("/x?a=%7B%7D&scope=%7B%22A%22:%22B%22%7D", "/x?a=%7B%7D"),
    ] {
        let (scope, source, head) = found(target, "", true).expect(target).expect(target);
        assert_eq!((scope.to_string().as_str(), source), ("{A: B}", Carrier::Parameter), "{target}");
        assert_eq!(head, format!("GET {left} HTTP/1.1\r\nHost: a\r\nZ: 1\r\n\r\n"), "{target}");
    }
    let error = found("/x?scope=%7BA:%20B%26C%25D%7D", "", true).expect_err("decoded, & and % meet");
    assert_eq!(error.span, Some(Span { start: 7, end: 8 }), "located in the decoded text: {error}");
}

#[test]
fn a_parameter_that_is_the_applications_own_is_left_alone() {
    for (target, parameter) in [
        ("/x", true),
        ("/x?", true),
        ("/x?scope", true),
        ("/x?scope=", true),
        ("/x?scope=openid+profile", true),
        ("/x?scope=%20{A:B}", true),
        ("/x?scope=[{A:B}]", true),
        ("/x?scop%65={A:B}", true),
        ("/x?a=scope={A:B}", true),
        ("/scope={A:B}", true),
        ("*", true),
        // the configuration says that the service has such a parameter itself
        ("/x?scope={A:B}", false),
        ("/x?scope={broken", false),
    ] {
        assert_eq!(found(target, "", parameter), Ok(None), "{target}");
    }
}

#[test]
fn several_scopes_and_broken_ones_are_refused() {
    for (target, fields, code, part) in [
        ("/", "X-Scope: {A: B}\r\nx-scope: {A: B}\r\n", Code::SeveralScopes, "several X-Scope headers"),
        ("/?scope={A:B}", "X-Scope: {A: B}\r\n", Code::SeveralScopes, "both a X-Scope header and a scope parameter"),
        ("/?scope={A:B}&scope={A:B}", "", Code::SeveralScopes, "several scope parameters"),
        ("/?scope={A:B}&scope=%7B", "", Code::SeveralScopes, "several scope parameters"),
        ("/", "X-Scope:\r\n", Code::InvalidScope, "expected a site"),
        ("/", "X-Scope: {A: B\r\n", Code::InvalidScope, "expected \",\" or \"}\""),
        ("/?scope={A:%ff}", "", Code::InvalidScope, "UTF-8"),
        ("/?scope={A:B%Dallas}", "", Code::InvalidScope, "UTF-8"),
        ("/?scope={A", "", Code::InvalidScope, "expected"),
    ] {
        let error = found(target, fields, true).expect_err(target);
        assert_eq!(error.code, code, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.problem().code.status(), 400);
    }
    // only what counts is looked at
    assert!(found("/?scope={A:B}", "X-Scope: {A: B}\r\n", false).expect("the header alone").is_some());
    let long = format!("X-Scope: {{A: {}}}\r\n", "B".repeat(MAX_BYTES));
    assert!(found("/", &long, true).expect_err("too long").to_string().contains("at most 4096 bytes"));
}

#[test]
fn bytes_that_are_no_text_are_located() {
    let error = scope::parse_bytes(b"{A: \xff}").expect_err("no text");
    assert_eq!(error.span, Some(Span { start: 4, end: 5 }));
    assert_eq!(scope::parse_bytes(b"{A: \xe2\x82").expect_err("cut").span, Some(Span { start: 4, end: 6 }));
    assert!(scope::parse_bytes(b"{A: B}").is_ok());
}

#[test]
fn sizes_are_limited() {
    let name = "B".repeat(MAX_BYTES - 4);
    assert!(scope::parse(&format!("{{A: {name}")).is_err());
    let whole = format!("{{A:{name}}}");
    assert_eq!(whole.len(), MAX_BYTES);
    assert!(scope::parse(&whole).is_ok());
    let error = scope::parse(&format!("{whole} ")).expect_err("one too many");
    assert_eq!(error.span, Some(Span { start: MAX_BYTES, end: MAX_BYTES + 1 }));
    let deep = |depth: usize| format!("{}A{}", "(".repeat(depth), ")".repeat(depth));
    assert!(scope::parse(&deep(16)).is_ok());
    assert!(scope::parse(&deep(17)).is_err());
    assert!(scope::parse(&deep(MAX_BYTES / 2 - 1)).is_err());
    assert!(scope::parse(&format!("{{\"a\":{}", "[".repeat(4000))).is_err());
}
