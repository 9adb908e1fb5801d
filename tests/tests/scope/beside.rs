//! The carriers for clients that can't say a scope themselves: the login of a `.netrc`, and what stands behind a token.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::*;

fn both() -> ScopeCarriers {
    ScopeCarriers { basic: true, tokens: vec!["x-auth-token".into()], ..ScopeCarriers::default() }
}

fn allowed() -> Allowed<'static> {
    Allowed { parameter: true, token: Some("X-Auth-Token") }
}

fn beside(target: &str, fields: &str) -> Result<Option<(Scope, Carrier, String)>, ScopeError> {
    found_by(&both(), allowed(), target, fields)
}

/// `Authorization` as a client makes it of a user and a password.
fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

#[test]
fn the_logins_password_is_a_scope_and_its_field_is_cut() {
    let mine = basic("cheops-scope", "{A: B}");
    let unpadded = format!("authorization:  bAsIc   {}  \r\n", STANDARD_NO_PAD.encode("cheops-scope:{A: B}"));
    for (fields, left) in [
        (mine.clone(), ""),
        (unpadded, ""),
        (basic("cheops-scope", "{\"A\": \"B\"}"), ""),
        (format!("One: 1\r\n{mine}tWO:  2\r\n"), "One: 1\r\ntWO:  2\r\n"),
        // another's credentials stand beside it, as they came
        (format!("AUTHORIZATION: Bearer abc\r\n{mine}"), "AUTHORIZATION: Bearer abc\r\n"),
        (format!("{mine}X-Auth-Token: gAAAA\r\n"), "X-Auth-Token: gAAAA\r\n"),
    ] {
        let (scope, source, head) = beside("/x?scope=1", &fields).expect(&fields).expect(&fields);
        assert_eq!((scope.to_string().as_str(), source), ("{A: B}", Carrier::Basic), "{fields}");
        assert_eq!(head, format!("GET /x?scope=1 HTTP/1.1\r\nHost: a\r\n{left}Z: 1\r\n\r\n"));
    }
    let (scope, ..) = beside("/", &basic("cheops-scope", "Paris")).expect("valid").expect("there");
    assert_eq!(scope.to_string(), "{Paris}", "without braces, as in a header");
    // curl sends UTF-8, Python's requests Latin-1
    let latin = STANDARD.encode(b"cheops-scope:{A: \"Z\xfcrich\"}");
    for fields in [basic("cheops-scope", "{A: \"Zürich\"}"), format!("Authorization: Basic {latin}\r\n")] {
        let (scope, ..) = beside("/", &fields).expect(&fields).expect(&fields);
        assert_eq!(scope.to_string(), "{A: \"Zürich\"}");
    }
}

#[test]
fn other_credentials_are_left_alone() {
    let own = basic("cheops-scope", "{A: B}");
    for fields in [
        basic("admin", "{A: B}"),
        basic("Cheops-Scope", "{A: B}"),
        basic("cheops-scope2", "{A: B}"),
        basic("cheops", "scope:{A: B}"),
        basic("", "cheops-scope:{A: B}"),
        format!("Authorization: Basic {}\r\n", STANDARD.encode("cheops-scope")),
        format!("Authorization: Bearer {}\r\n", STANDARD.encode("cheops-scope:{A: B}")),
        "Authorization: Basic\r\n".into(),
        "Authorization:\r\n".into(),
        own.replace("Authorization", "Proxy-Authorization"),
    ] {
        assert_eq!(beside("/", &fields), Ok(None), "{fields}");
    }
    // off by default
    let names = ScopeCarriers::default();
    assert_eq!(found_by(&names, allowed(), "/", &own), Ok(None));
    assert!(!carriers::may_carry(&head(&format!("GET / HTTP/1.1\r\nHost: a\r\n{own}\r\n")), &names));
}

#[test]
fn what_stands_behind_a_token_is_a_scope_and_the_token_stays() {
    for (fields, left) in [
        ("X-Auth-Token: gAAA-_x!SCOPE!{\"A\":\"B\"}\r\n", "X-Auth-Token: gAAA-_x\r\n"),
        ("x-auth-TOKEN:gAAA!SCOPE!{A: B} \t\r\n", "x-auth-TOKEN:gAAA \t\r\n"),
        ("X-Auth-Token: !SCOPE!{A: B}\r\n", "X-Auth-Token: \r\n"),
        ("X-Auth-Token: a\r\nX-Auth-Token: b!SCOPE!{A: B}\r\n", "X-Auth-Token: a\r\nX-Auth-Token: b\r\n"),
        ("X-Subject-Token: t!SCOPE!x\r\nX-Auth-Token: b!SCOPE!A: B\r\n", ""),
    ] {
        let carried = beside("/x", fields);
        if left.is_empty() {
            assert_eq!(carried.expect_err("no braces").code, Code::InvalidScope);
            continue;
        }
        let (scope, source, head) = carried.expect(fields).expect(fields);
        assert_eq!((scope.to_string().as_str(), source), ("{A: B}", Carrier::Token), "{fields}");
        assert_eq!(head, format!("GET /x HTTP/1.1\r\nHost: a\r\n{left}Z: 1\r\n\r\n"));
    }
    for fields in [
        "X-Auth-Token: gAAA\r\n",
        "X-Auth-Token: a!scope!{A: B}\r\n",
        "X-Other: a!SCOPE!{A: B}\r\n",
        "X-Auth-Token:\r\n",
    ] {
        assert_eq!(beside("/", fields), Ok(None), "{fields}");
    }
    // only where the addressed service's profile says so
    let fields = "X-Auth-Token: a!SCOPE!{A: B}\r\n";
    assert_eq!(found_by(&both(), Allowed { parameter: true, token: None }, "/", fields), Ok(None));
    assert_eq!(found("/", fields, true), Ok(None));
}

#[test]
fn broken_ones_are_located_and_several_are_refused() {
    let mine = basic("cheops-scope", "{A: B}");
    let behind = "X-Auth-Token: a!SCOPE!{A: B}\r\n";
    for (target, fields, code, part) in [
        ("/", format!("{mine}{mine}"), Code::SeveralScopes, "several logins cheops-scope"),
        (
            "/",
            format!("X-Scope: {{A: B}}\r\n{mine}"),
            Code::SeveralScopes,
            "both a X-Scope header and a login cheops-scope",
        ),
        ("/?scope={A:B}", mine.clone(), Code::SeveralScopes, "both a scope parameter and a login cheops-scope"),
        (
            "/",
            format!("{mine}{behind}"),
            Code::SeveralScopes,
            "both a login cheops-scope and a scope behind X-Auth-Token",
        ),
        ("/", format!("{behind}{behind}"), Code::SeveralScopes, "several scopes behind X-Auth-Token"),
        ("/", "Authorization: Basic Y2hlb3BzLXNjb3BlOg=!\r\n".into(), Code::InvalidScope, "not base64"),
        ("/", basic("cheops-scope", ""), Code::InvalidScope, "expected a site"),
        ("/", "X-Auth-Token: a!SCOPE!\r\n".into(), Code::InvalidScope, "expected a site"),
        ("/", "X-Auth-Token: a!SCOPE!{A: B}!SCOPE!{A: B}\r\n".into(), Code::InvalidScope, "no sign"),
    ] {
        let error = beside(target, &fields).expect_err(&fields);
        assert_eq!(error.code, code, "{fields}: {error}");
        assert!(error.to_string().contains(part), "{fields}: {error}");
        assert_eq!(error.problem().code.status(), 400);
    }
    for fields in [basic("cheops-scope", "{A: & B}"), "X-Auth-Token: a!SCOPE!{A: & B}\r\n".into()] {
        let error = beside("/", &fields).expect_err("no site before &");
        assert_eq!(error.span.map(|span| span.start), Some(4), "in the scope's own text: {error}");
    }
    let long = basic("cheops-scope", &format!("{{A: {}}}", "B".repeat(MAX_BYTES)));
    assert!(beside("/", &long).expect_err("too long").to_string().contains("at most 4096 bytes"));
}
