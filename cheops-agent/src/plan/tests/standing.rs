//! Cordoned and drained sites: left out of what is new, and only of that.

use std::time::Duration;

use super::*;
use crate::metadata::latency::{Measured, State};
use crate::metadata::record::Standing;

/// All alive, Paris 20 ms from Berlin, and Nantes 60 ms from both.
fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    for (by, site, ms) in [("Berlin", "Paris", 20), ("Berlin", "Nantes", 60), ("Paris", "Nantes", 60)] {
        fixture.distances.stands(&site.into(), State::Alive);
        let rtt = Duration::from_millis(ms);
        let measured = Measured { rtt, usual: rtt, age: rtt, by: by.into(), state: State::Alive, hears: true };
        fixture.distances.add(&site.into(), measured);
    }
    fixture
}

/// By its record.
fn stands(fixture: &mut Fixture, site: &str, standing: Standing) {
    fixture.snapshot.sites.get_mut(site).expect("a site").standing = standing;
}

fn routed(fixture: &Fixture, method: &str, scope: &str) -> String {
    short(&plan(by_header(fixture, BERLIN, method, "/v2/servers", scope)).route)
}

#[test]
fn a_cordoned_site_is_chosen_for_nothing_new() {
    let mut fixture = fixture();
    stands(&mut fixture, "Paris", Standing::Cordoned);
    for (method, scope, expected) in [
        ("POST", "{Nova: *}", "first-of Berlin Nantes"),
        ("POST", "{Nova: around(Berlin, 1s)}", "first-of Berlin Nantes"),
        ("POST", "{Nova: around(Paris, 20ms)}", "direct"),
        ("POST", "{Nova: Paris}", "at Paris"),
        ("POST", "{Nova: Paris || Nantes}", "first-of Paris Nantes"),
        ("GET", "{Nova: *}", "gather Berlin Paris Nantes"),
    ] {
        assert_eq!(routed(&fixture, method, scope), expected, "{method} {scope}");
    }
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let plan = plan(by_header(&fixture, BERLIN, method, "/v2/servers/7", "{Nova: *}"));
        assert_eq!(short(&plan.route), "first-of Berlin Paris Nantes", "{method}");
    }
    let plan = plan(by_header(&fixture, BERLIN, "POST", "/v2/servers", "{Nova: *}"));
    let why = plan.reasons.iter().find(|reason| reason.code == "cordoned").expect("it is explained");
    assert!(why.text.starts_with("Paris, 20 ms from Berlin (Berlin measured it "), "{}", why.text);
    assert!(why.text.ends_with("is cordoned, so it is chosen for nothing new"), "{}", why.text);
    let problem = refusal(by_header(&fixture, BERLIN, "POST", "/v2/servers", "{Nova: around(Paris, 1ms)}"));
    assert_eq!(problem.code, Code::NoSiteInRange);
    assert!(problem.hint.is_some_and(|hint| hint.contains("Paris itself: is cordoned")));
}

#[test]
fn nothing_new_is_created_at_a_drained_site() {
    let mut fixture = fixture();
    stands(&mut fixture, "Paris", Standing::Drained);
    let problem = refusal(by_header(&fixture, BERLIN, "POST", "/v2/servers", "{Nova: Paris}"));
    assert_eq!((problem.code, problem.code.status()), (Code::SiteDrained, 503));
    assert!(problem.detail.starts_with("Paris is drained"), "{problem:?}");
    assert_eq!(problem.position, Some((7, 5)));
    for (method, scope, expected) in [
        ("POST", "{Nova: Paris || Nantes}", "at Nantes"),
        ("POST", "{Nova: Nantes || Paris || Berlin}", "first-of Nantes Berlin"),
        ("POST", "{Nova: *}", "first-of Berlin Nantes"),
        ("GET", "{Nova: Paris}", "at Paris"),
        ("GET", "{Nova: Berlin & Paris}", "gather Berlin Paris"),
        ("GET", "{Nova: *}", "gather Berlin Paris Nantes"),
    ] {
        assert_eq!(routed(&fixture, method, scope), expected, "{method} {scope}");
    }
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let plan = plan(by_header(&fixture, BERLIN, method, "/v2/servers/7", "{Nova: Paris}"));
        assert_eq!(short(&plan.route), "at Paris", "{method}");
    }
    let plan = plan(by_header(&fixture, BERLIN, "POST", "/v2/servers", "{Nova: Paris || Nantes}"));
    let why = plan.reasons.iter().find(|reason| reason.code == "drained").expect("it is explained");
    assert_eq!(why.text, "Paris itself: is drained, so nothing new is created there for other sites");
}

/// A site's own users go on, with a scope and without.
#[test]
fn a_drained_site_serves_its_own() {
    let mut fixture = fixture();
    stands(&mut fixture, "Berlin", Standing::Drained);
    assert_eq!(routed(&fixture, "POST", "{Nova: Berlin}"), "direct");
    assert_eq!(routed(&fixture, "POST", "{Nova: Berlin || Paris}"), "first-of Berlin Paris");
    assert_eq!(routed(&fixture, "POST", "{Nova: *}"), "first-of Paris Nantes");
    assert_eq!(routed(&fixture, "POST", "{Glance: Paris}"), "direct", "what isn't named is the entry's");
    let unscoped = head("POST", "/v2/servers", None);
    let asked = Asked { head: &unscoped, orig: orig(BERLIN), session: None, workflow: None };
    assert_eq!(decide(&asked, &fixture.world()), Decision::Unscoped);
}

/// What a site's agents say counts as its record does, and the strictest of both.
#[test]
fn the_strictest_word_counts() {
    let mut fixture = fixture();
    let paris = "Paris".into();
    fixture.distances.takes_part(&paris, Standing::Drained);
    fixture.distances.takes_part(&paris, Standing::Active);
    assert_eq!(routed(&fixture, "POST", "{Nova: Paris || Nantes}"), "at Nantes");
    let mut fixture = super::standing::fixture();
    fixture.distances.takes_part(&paris, Standing::Active);
    stands(&mut fixture, "Paris", Standing::Drained);
    assert_eq!(routed(&fixture, "POST", "{Nova: Paris || Nantes}"), "at Nantes");
    fixture.distances.takes_part(&"Berlin".into(), Standing::Drained);
    assert_eq!(routed(&fixture, "POST", "{Nova: *}"), "first-of Berlin Nantes", "nobody else speaks for this site");
}
