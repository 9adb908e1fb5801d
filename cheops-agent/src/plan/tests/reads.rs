//! Requests that change nothing at several sites, and services whose data belong to those that call them.

use super::*;
use crate::plan::Workflow;

#[test]
fn one_resource_of_several_sites_is_read_at_the_own_one_else_at_the_nearest() {
    let mut fixture = super::around::fixture(&super::around::ALL);
    for (form, here, expected) in [
        ("{Nova: Berlin & Paris}", "Berlin", "first-of Berlin Paris"),
        ("{Nova: Paris & Berlin}", "Berlin", "first-of Berlin Paris"),
        ("Paris & Berlin & Nantes", "Paris", "first-of Paris Nantes Berlin"),
        ("{Nova: Nantes & Paris}", "Berlin", "first-of Paris Nantes"),
        ("{Nova: Berlin & *}", "Nantes", "first-of Nantes Paris Berlin"),
    ] {
        fixture.here = here.into();
        for (method, target) in [("GET", "/v2/servers/7"), ("HEAD", "/v2/servers/7"), ("GET", "/v2/unknown//path")] {
            let plan = plan(by_header(&fixture, BERLIN, method, target, form));
            assert_eq!(short(&plan.route), expected, "{method} {target} {form} at {here}");
            assert!(plan.next_on.not_found && plan.next_on.failed, "{form}");
            for (status, goes_on) in [(404, GoesOn::Yes), (503, GoesOn::Yes), (200, GoesOn::No), (401, GoesOn::No)] {
                assert_eq!(plan.next_on.status(status), goes_on, "{status}");
            }
            assert_eq!(plan.choice, Choice::Fixed);
        }
    }
    // `||` says an order, and what a site answers stands
    fixture.here = "Berlin".into();
    let plan = plan(by_header(&fixture, BERLIN, "GET", "/v2/servers/7", "{Nova: Paris || Berlin}"));
    assert_eq!((short(&plan.route).as_str(), plan.next_on.failed), ("first-of Paris Berlin", false));
    assert_eq!(plan.next_on.status(503), GoesOn::No);
}

#[test]
fn below_a_request_another_service_may_be_read_at_several_sites() {
    let fixture = Fixture::new();
    let form = "{Nova: Berlin, Glance: Berlin & Paris}";
    let made = plan(by_header(&fixture, BERLIN, "POST", "/v2/servers", form));
    assert_eq!(short(&made.route), "direct");
    let scope = Completed::parse(&made.scope.expect("a scope").completed).expect("well-formed");
    let entry = SiteName::from("Berlin");
    let workflow = Workflow { scope: &scope, entry: &entry, placed: &[] };
    let ask = |method, target| {
        let head = head(method, target, None);
        let asked = Asked { head: &head, orig: orig("10.0.0.1:90"), session: None, workflow: Some(workflow) };
        decide(&asked, &fixture.world())
    };
    assert_eq!(short(&plan(ask("GET", "/image/v2/images/7")).route), "first-of Berlin Paris");
    assert_eq!(short(&plan(ask("GET", "/image/v2/images")).route), "gather Berlin Paris");
    assert_eq!(refusal(ask("POST", "/image/v2/images")).code, Code::NotBuilt);
    assert_eq!(refusal(ask("PUT", "/image/v2/images/7")).code, Code::NotBuilt);
}

#[test]
fn what_the_api_is_any_site_may_say_the_own_one_first() {
    let fixture = Fixture::new();
    for (form, expected) in [
        // the own one if no other can: what follows tells the client why
        ("{Nova: Paris}", "first-of Paris Berlin"),
        ("{Nova: Berlin}", "direct"),
        ("{Glance: Paris}", "direct"),
        ("{Nova: Paris & Berlin}", "first-of Berlin Paris"),
        ("{Nova: Paris & Nantes}", "first-of Paris Nantes Berlin"),
        ("{Nova: Paris || Nantes || Berlin}", "first-of Berlin Paris Nantes"),
        ("{Nova: *}", "first-of Berlin Nantes Paris"),
        ("{Nova: Nantes || (Paris & Berlin)}", "first-of Berlin Nantes Paris"),
        ("{Nova: Paris % Berlin, Glance: Paris % Nantes}", "first-of Berlin Paris"),
    ] {
        for (method, target) in [("GET", "/"), ("GET", "/v2.1"), ("HEAD", "/v2.1/")] {
            let plan = plan(by_header(&fixture, BERLIN, method, target, form));
            assert_eq!(short(&plan.route), expected, "{method} {target} {form}");
            assert_eq!((plan.op, plan.choice), (OpKind::Describe, Choice::Fixed), "{form}");
            let several = expected.starts_with("first-of");
            assert_eq!((plan.next_on.failed, plan.next_on.not_found), (several, several), "{form}");
        }
    }
    // another service's, and another method
    assert_eq!(plan(by_header(&fixture, "10.0.0.1:50", "GET", "/v2.1", "{Paris}")).op, OpKind::Unknown);
    assert_eq!(refusal(by_header(&fixture, BERLIN, "POST", "/v2.1", "{Paris & Berlin}")).code, Code::NotBuilt);
}

#[test]
fn what_a_service_keeps_for_its_callers_is_the_calling_sites_own() {
    let mut fixture = Fixture::new();
    let entry = SiteName::from("Berlin");
    for (scope, at, here, expected) in [
        // Nova at Paris, asked from Berlin, calls Placement
        ("{Nova: Paris}", "10.0.1.1:60", "Paris", "direct"),
        ("{Nova: Paris}", "10.0.0.1:60", "Paris", "at Paris"),
        ("{Nova: Paris}", "10.0.0.1:60", "Berlin", "direct"),
        // at a site without one: where it is called
        ("{Nova: Nantes}", "10.0.1.1:60", "Nantes", "at Paris"),
        ("{Nova: Paris, Placement: Berlin}", "10.0.1.1:60", "Paris", "at Berlin"),
    ] {
        fixture.here = here.into();
        let made = plan(by_header(&fixture, BERLIN, "POST", "/v2/servers", scope)).scope.expect("a scope");
        let completed = Completed::parse(&made.completed).expect("well-formed");
        let workflow = Some(Workflow { scope: &completed, entry: &entry, placed: &[] });
        let head = head("PUT", "/allocations/7", None);
        let asked = Asked { head: &head, orig: orig(at), session: None, workflow };
        let found = plan(decide(&asked, &fixture.world()));
        assert_eq!(short(&found.route), expected, "{scope} at {here}");
        let calling = found.reasons.iter().any(|reason| reason.code == "calling-site");
        assert_eq!(calling, !scope.contains("Placement"), "{:?}", found.reasons);
    }
    // Asked for itself it is where it is asked.
    fixture.here = "Berlin".into();
    let found = plan(by_header(&fixture, "10.0.0.1:60", "GET", "/usages", "{Nova: Paris}"));
    assert_eq!(short(&found.route), "direct");
}
