//! Scopes that a request did not bring itself.

use super::*;

#[test]
fn the_requests_own_scope_outranks_its_workflows_and_that_the_sessions() {
    let fixture = Fixture::new();
    let completed = Completed::parse(r#"{"Nova":"Nantes","default":"Paris"}"#).expect("valid");
    let entry = SiteName::from("Paris");
    let workflow = Workflow { scope: &completed, entry: &entry };
    for (own, workflow, session, route, source) in [
        (Some("{Nova: Paris}"), Some(workflow), Some("{Nova: Berlin}"), "at Paris", ScopeSource::Header),
        (Some("{Nova: Paris}"), None, Some("{Nova: Berlin}"), "at Paris", ScopeSource::Header),
        (None, Some(workflow), Some("{Nova: Berlin}"), "at Nantes", ScopeSource::Workflow),
        (None, None, Some("{Nova: Paris}"), "at Paris", ScopeSource::Session),
        (None, None, Some("{Nova: Berlin}"), "direct", ScopeSource::Session),
    ] {
        let head = head("GET", "/a", own);
        let plan = plan(decide(&Asked { head: &head, orig: orig(BERLIN), session, workflow }, &fixture.world()));
        assert_eq!(short(&plan.route), route);
        assert_eq!(plan.scope.expect("a scope").source, source);
        let expected = if source == ScopeSource::Workflow { "Paris" } else { "Berlin" };
        assert_eq!(plan.entry.as_str(), expected, "a call keeps its workflow's entry");
    }
}

#[test]
fn calls_inside_a_workflow_follow_its_completed_scope() {
    let fixture = Fixture::new();
    let entry = SiteName::from("Paris");
    for (scope, to, target, route, code) in [
        (r#"{"Glance":"Nantes","default":"Paris"}"#, "10.0.0.1:90", "/image/1", "at Nantes", ""),
        (
            r#"{"Glance":"Nantes || Berlin","default":"Paris"}"#,
            "10.0.0.1:90",
            "/image/1",
            "first-of Nantes Berlin",
            "bound",
        ),
        // not named: the entry site, wherever the calling service runs
        (r#"{"Nova":"Berlin","default":"Paris"}"#, "10.0.0.1:90", "/image/1", "at Paris", "not-named"),
        (r#"{"default":"Berlin"}"#, "10.0.0.1:90", "/image/1", "direct", "not-named"),
        // the scope was bare: each service below is its own site's
        (r#"{"Nova":"Berlin","default":null}"#, "10.0.0.1:90", "/image/1", "direct", "own-site"),
        (r#"{"Nova":"Berlin","default":null}"#, "10.0.1.1:50", "/v3", "at Paris", "own-site"),
        (r#"{"Nova":"Berlin","default":null}"#, "10.0.0.1:80", "/servers", "direct", "bound"),
        // what this agent doesn't know matters only when it is called
        (r#"{"Unknown":"Atlantis","default":"Berlin"}"#, "10.0.0.1:80", "/servers", "direct", "not-named"),
    ] {
        let completed = Completed::parse(scope).expect(scope);
        let head = head("GET", target, None);
        let workflow = Some(Workflow { scope: &completed, entry: &entry });
        let asked = Asked { head: &head, orig: orig(to), session: None, workflow };
        let plan = plan(decide(&asked, &fixture.world()));
        assert_eq!(short(&plan.route), route, "{scope}");
        assert!(plan.reasons.iter().any(|reason| reason.code.starts_with(code)), "{:?}", plan.reasons);
        assert_eq!(plan.scope.expect("a scope").completed, completed.to_string(), "it travels unchanged");
    }
    for (scope, code) in [
        (r#"{"Nova":"Atlantis","default":"Berlin"}"#, Code::NoEndpoint),
        (r#"{"Nova":"Berlin & Paris","default":"Berlin"}"#, Code::NotBuilt),
    ] {
        let completed = Completed::parse(scope).expect(scope);
        let head = head("POST", "/servers", None);
        let workflow = Some(Workflow { scope: &completed, entry: &entry });
        let asked = Asked { head: &head, orig: orig(BERLIN), session: None, workflow };
        assert_eq!(refusal(decide(&asked, &fixture.world())).code, code);
    }
}

#[test]
fn a_call_inside_a_workflow_to_no_known_service_is_left_alone() {
    let fixture = Fixture::new();
    let completed = Completed::parse(r#"{"Nova":"Paris","default":"Berlin"}"#).expect("valid");
    let entry = SiteName::from("Berlin");
    let workflow = Some(Workflow { scope: &completed, entry: &entry });
    for (to, target) in [("10.0.0.1:90", "/other"), ("10.0.0.1:90", "/"), ("10.9.9.9:1", "/a")] {
        let head = head("GET", target, None);
        let asked = Asked { head: &head, orig: orig(to), session: None, workflow };
        assert_eq!(decide(&asked, &fixture.world()), Decision::Unscoped, "{to} {target}");
    }
    // What might be a service's is refused rather than served without the scope.
    let head = head("GET", "/image/../volume", None);
    let asked = Asked { head: &head, orig: orig("10.0.0.1:90"), session: None, workflow };
    assert_eq!(refusal(decide(&asked, &fixture.world())).code, Code::UnmatchedTarget);
}
