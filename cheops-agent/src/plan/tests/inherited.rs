//! Scopes that a request did not bring itself.

use super::*;

#[test]
fn the_requests_own_scope_outranks_its_workflows_and_that_the_sessions() {
    let fixture = Fixture::new();
    let completed = Completed::parse(r#"{"Nova":"Nantes","default":"Paris"}"#).expect("valid");
    let entry = SiteName::from("Paris");
    let workflow = Workflow { scope: &completed, entry: &entry, placed: &[] };
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
        // of the calling site, also by the address of another's: it stands in the catalog of that one's users
        (r#"{"Nova":"Berlin","default":null}"#, "10.0.1.1:90", "/v/img/1", "at Berlin", "own-site"),
        // but what issues credentials is asked for its own
        (r#"{"Nova":"Berlin","default":null}"#, "10.0.1.1:50", "/v3", "at Paris", "own-site"),
        (r#"{"Nova":"Berlin","default":null}"#, "10.0.0.1:80", "/servers", "direct", "bound"),
        // what this agent doesn't know matters only when it is called
        (r#"{"Unknown":"Atlantis","default":"Berlin"}"#, "10.0.0.1:80", "/servers", "direct", "not-named"),
    ] {
        let completed = Completed::parse(scope).expect(scope);
        let head = head("GET", target, None);
        let workflow = Some(Workflow { scope: &completed, entry: &entry, placed: &[] });
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
        let workflow = Some(Workflow { scope: &completed, entry: &entry, placed: &[] });
        let asked = Asked { head: &head, orig: orig(BERLIN), session: None, workflow };
        assert_eq!(refusal(decide(&asked, &fixture.world())).code, code);
    }
}

/// A bare scope bound only what its request addressed: where the calling site has no such service, the called one is it.
#[test]
fn what_the_calling_site_lacks_is_where_it_is_called() {
    let fixture = Fixture { here: "Nantes".into(), ..Fixture::new() };
    let entry = SiteName::from("Berlin");
    let completed = Completed::parse(r#"{"Nova":"Nantes","default":null}"#).expect("valid");
    for (to, target, route) in [
        ("10.0.0.1:90", "/volume/1", "at Berlin"),
        ("10.0.0.1:90", "/image/1", "at Nantes"),
        ("10.0.2.1:91", "/1", "direct"),
    ] {
        let head = head("GET", target, None);
        let workflow = Some(Workflow { scope: &completed, entry: &entry, placed: &[] });
        let asked = Asked { head: &head, orig: orig(to), session: None, workflow };
        assert_eq!(short(&plan(decide(&asked, &fixture.world())).route), route, "{to}{target}");
    }
}

#[test]
fn a_call_inside_a_workflow_to_no_known_service_is_left_alone() {
    let fixture = Fixture::new();
    let completed = Completed::parse(r#"{"Nova":"Paris","default":"Berlin"}"#).expect("valid");
    let entry = SiteName::from("Berlin");
    let workflow = Some(Workflow { scope: &completed, entry: &entry, placed: &[] });
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

/// Where the scope leaves it open, the workflow is where its first call was served, whatever is near or up now.
#[test]
fn a_call_goes_where_an_earlier_one_of_its_workflow_was_served() {
    let fixture = Fixture::new();
    let entry = SiteName::from("Berlin");
    let placed = [("Glance".into(), "Paris".into()), ("Nova".into(), "Nantes".into())];
    for (scope, method, target, route, stays) in [
        ("Berlin || Nantes", "POST", "/servers", "at Nantes", true),
        ("Berlin || Paris", "GET", "/servers", "at Nantes", true),
        ("*", "POST", "/servers", "at Nantes", true),
        // No distance is known: nobody but itself would be in range.
        ("around(Paris, 1ms)", "POST", "/servers", "at Nantes", true),
        ("around(Paris, 1ms)", "GET", "/servers", "gather Nantes", true),
        ("*", "GET", "/servers", "gather Nantes", true),
        // It may be at another site all the same; only a 404 lets that be asked.
        ("Berlin || Nantes", "GET", "/servers/7", "first-of Nantes Berlin", true),
        ("Berlin || Nantes", "DELETE", "/servers/7", "first-of Nantes Berlin", true),
        // What is named is where it is named.
        ("Berlin", "POST", "/servers", "direct", false),
        ("Paris & Berlin", "GET", "/servers", "gather Paris Berlin", false),
    ] {
        let completed = Completed::parse(&format!(r#"{{"Nova":"{scope}","default":"Berlin"}}"#)).expect(scope);
        let head = head(method, target, None);
        let workflow = Some(Workflow { scope: &completed, entry: &entry, placed: &placed });
        let asked = Asked { head: &head, orig: orig(BERLIN), session: None, workflow };
        let plan = plan(decide(&asked, &fixture.world()));
        assert_eq!(short(&plan.route), route, "{method} {target} {scope}");
        assert_eq!(plan.choice, if stays { Choice::Made } else { Choice::Fixed }, "{scope}");
        assert_eq!(plan.reasons.iter().any(|reason| reason.code == "placed"), stays, "{:?}", plan.reasons);
        assert_eq!(plan.placed, placed, "later calls are told of all");
        if let Route::FirstOf(_) = plan.route {
            assert!(plan.next_on.stays && plan.next_on.not_found && plan.next_on.capacity.is_empty());
        }
    }
    // A site that has gone is forgotten.
    let gone = [("Nova".into(), "Atlantis".into())];
    let completed = Completed::parse(r#"{"Nova":"Paris || Nantes","default":"Berlin"}"#).expect("valid");
    let head = head("POST", "/servers", None);
    let workflow = Some(Workflow { scope: &completed, entry: &entry, placed: &gone });
    let asked = Asked { head: &head, orig: orig(BERLIN), session: None, workflow };
    let plan = plan(decide(&asked, &fixture.world()));
    assert_eq!((short(&plan.route).as_str(), plan.choice), ("first-of Paris Nantes", Choice::Open));
}
