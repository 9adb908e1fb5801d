//! Scopes that a client sends with everything, whatever it is for: by a login, or behind its token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const KEYSTONE: &str = "10.0.0.1:50";

/// The carriers beside header and parameter are on; profile `cloud` lets its tokens carry scopes.
fn fixture() -> Fixture {
    let directory = tempfile::tempdir().expect("a directory");
    let profile = "version = 1\n[platform]\nclasses = { identity = \"identity\" }\n\
        [platform.credentials]\nheader = \"X-Auth-Token\"\ncarries-scope = true\n[conventional]\n";
    std::fs::write(directory.path().join("cloud.toml"), profile).expect("written");
    let profiles = Profiles::load(&[directory.path().to_owned()]).expect("valid");
    let carriers = ScopeCarriers { basic: true, tokens: profiles.scope_headers(), ..ScopeCarriers::default() };
    Fixture { profiles, carriers, ..Fixture::new() }
}

fn basic(scope: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("cheops-scope:{scope}")))
}

/// The decision about a request with one more field, and its head afterwards.
fn decided(fixture: &Fixture, to: &str, field: &str, session: Option<&str>) -> (Plan, String) {
    let text = format!("GET /v3 HTTP/1.1\r\nHost: a\r\n{field}\r\nZ: 1\r\n\r\n");
    let head = RequestHead::parse(Bytes::from(text), 100).expect("well-formed");
    match decide(&Asked { head: &head, orig: orig(to), session, workflow: None }, &fixture.world()) {
        Decision::Scoped { plan, head } => (*plan, String::from_utf8(head.to_vec()).expect("ASCII")),
        other => panic!("{field}: {other:?}"),
    }
}

#[test]
fn what_issues_credentials_stays_unless_it_is_named() {
    let fixture = fixture();
    for (to, scope, route, code) in [
        (KEYSTONE, "{Glance: Paris}", "direct", "not-named"),
        (KEYSTONE, "{Glance: Berlin & Paris}", "direct", "not-named"),
        (KEYSTONE, "Paris", "direct", "identity-stays"),
        ("10.0.1.1:50", "{Nantes}", "at Paris", "identity-stays"),
        (KEYSTONE, "{Paris, Keystone: Nantes}", "at Nantes", "bound"),
        (KEYSTONE, "{identity: Paris}", "at Paris", "bound"),
        (BERLIN, "{Paris, Keystone: Nantes}", "at Paris", "bound-as-addressed"),
        (BERLIN, "{Nova: Paris}", "at Paris", "bound"),
    ] {
        let behind = format!("X-Auth-Token: gAAA!SCOPE!{scope}");
        for (field, left, source) in
            [(basic(scope), "", ScopeSource::Basic), (behind, "X-Auth-Token: gAAA\r\n", ScopeSource::Token)]
        {
            let (plan, head) = decided(&fixture, to, &field, None);
            assert_eq!(short(&plan.route), route, "{to} {field}");
            assert!(plan.reasons.iter().any(|reason| reason.code == code), "{scope}: {:?}", plan.reasons);
            assert_eq!(head, format!("GET /v3 HTTP/1.1\r\nHost: a\r\n{left}Z: 1\r\n\r\n"));
            let document = render::document(&plan);
            assert_eq!(document["scope-source"], source.name());
            assert_eq!(plan.scope.expect("a scope").source, source);
        }
    }
}

#[test]
fn they_are_the_requests_own_and_outrank_exec() {
    let fixture = fixture();
    for field in [basic("{Nova: Paris}"), "X-Auth-Token: g!SCOPE!{Nova: Paris}".to_owned()] {
        let (plan, _) = decided(&fixture, BERLIN, &field, Some("{Nova: Nantes}"));
        assert_eq!(short(&plan.route), "at Paris");
        let told = plan.reasons.iter().find(|reason| reason.code == "scope").map(|reason| reason.text.as_str());
        assert!(told.is_some_and(|text| text.ends_with("which outranks cheops exec")), "{told:?}");
    }
}

#[test]
fn a_token_carries_nothing_to_a_service_whose_profile_knows_of_none() {
    let fixture = Fixture { carriers: fixture().carriers, ..Fixture::new() };
    let text = "GET /v3 HTTP/1.1\r\nHost: a\r\nX-Auth-Token: g!SCOPE!{Nova: Paris}\r\n\r\n";
    let head = RequestHead::parse(Bytes::from_static(text.as_bytes()), 100).expect("well-formed");
    let asked = Asked { head: &head, orig: orig(BERLIN), session: None, workflow: None };
    assert_eq!(decide(&asked, &fixture.world()), Decision::Unscoped);
}
