//! `around` and `*`: which sites are tried, in which order, and what is said of the others.

use std::time::Duration;

use super::*;
use crate::metadata::latency::{Measured, Placed, State};

/// A distance in the world: by whom, to whom, milliseconds, how old in seconds.
pub(super) type Known<'a> = (&'a str, &'a str, u64, u64);

/// Berlin, Paris and Nantes, all alive, with these distances.
pub(super) fn fixture(known: &[Known<'_>]) -> Fixture {
    let mut fixture = Fixture::new();
    for site in ["Paris", "Nantes"] {
        fixture.distances.stands(&site.into(), State::Alive);
    }
    for (by, to, rtt, age) in known {
        let rtt = Duration::from_millis(*rtt);
        let age = Duration::from_secs(*age);
        let measured = Measured { rtt, usual: rtt, age, by: (*by).into(), state: State::Alive, hears: true };
        fixture.distances.add(&(*to).into(), measured);
    }
    fixture
}

pub(super) const ALL: [Known<'_>; 5] = [
    ("Berlin", "Paris", 20, 0),
    ("Berlin", "Nantes", 60, 1),
    ("Paris", "Berlin", 20, 0),
    ("Paris", "Nantes", 10, 2),
    ("Nantes", "Berlin", 60, 0),
];

fn planned(fixture: &Fixture, method: &str, scope: &str) -> Plan {
    plan(by_header(fixture, BERLIN, method, "/v2/servers", scope))
}

fn codes(plan: &Plan) -> Vec<(&str, &str)> {
    let sites = plan.candidates.iter().map(|candidate| candidate.site.as_str());
    let codes =
        ["in-range", "known-site", "down-tried-last", "out-of-range", "distance-unknown", "down", "no-endpoint"];
    sites.zip(plan.reasons.iter().map(|reason| reason.code).filter(|code| codes.contains(code))).collect()
}

#[test]
fn the_nearest_to_the_named_site_is_tried_first() {
    let fixture = fixture(&ALL);
    for (scope, expected) in [
        ("{Nova: around(Paris, 50ms)}", "first-of Paris Nantes Berlin"),
        ("{around: Paris, 50ms}", "first-of Paris Nantes Berlin"),
        ("around(Paris, 50ms)", "first-of Paris Nantes Berlin"),
        ("{Nova: around(Paris, 20ms)}", "first-of Paris Nantes Berlin"),
        ("{Nova: around(Paris, 19.9ms)}", "first-of Paris Nantes"),
        ("{Nova: around(Paris, 9ms)}", "at Paris"),
        ("{Nova: around(Berlin, 50ms)}", "first-of Berlin Paris"),
        ("{Nova: around(Berlin, 1us)}", "direct"),
        ("{Nova: around(Nantes, 30ms)}", "first-of Nantes Paris"),
        ("{Nova: Nantes || around(Paris, 50ms)}", "first-of Nantes Paris Berlin"),
        ("{Nova: around(Berlin, 50ms) || around(Nantes, 1ms)}", "first-of Berlin Paris Nantes"),
        ("{Nova: *}", "first-of Berlin Paris Nantes"),
        ("*", "first-of Berlin Paris Nantes"),
        ("{Nova: Nantes || *}", "first-of Nantes Berlin Paris"),
    ] {
        for method in ["GET", "POST"] {
            // The lists of all of them are united, also where there is but one; with `||` it's the first that answers.
            let lists = method == "GET" && !scope.contains("||");
            let sites = expected.trim_start_matches("first-of").trim_start_matches("at").replace("direct", " Berlin");
            let expected = if lists { format!("gather{sites}") } else { expected.to_owned() };
            assert_eq!(short(&planned(&fixture, method, scope).route), expected, "{scope}");
        }
    }
}

/// The site whose endpoint is addressed is the entry, wherever the agent is: its own distances count for `*`.
#[test]
fn the_star_counts_from_the_entry_site() {
    let plan = plan(by_header(&fixture(&ALL), PARIS, "POST", "/v2/servers", "{Nova: *}"));
    assert_eq!((short(&plan.route).as_str(), plan.entry.as_str()), ("first-of Paris Nantes Berlin", "Paris"));
}

#[test]
fn each_site_is_told_with_its_distance_and_why() {
    let fixture = fixture(&ALL[..3]);
    let plan = planned(&fixture, "GET", "{Nova: around(Paris, 10ms)}");
    assert_eq!(short(&plan.route), "gather Paris");
    assert_eq!(codes(&plan), [("Paris", "in-range"), ("Berlin", "out-of-range"), ("Nantes", "distance-unknown")]);
    let texts: Vec<&str> = plan.reasons.iter().map(|reason| reason.text.as_str()).collect();
    assert!(texts.contains(&"Berlin, 20 ms from Paris (Paris measured it 0.0 s ago): is out of range, 10 ms at most"));
    assert!(texts.contains(&"Nantes, its distance from Paris is unknown: can't be in range"), "{texts:?}");
    let document = render::document(&plan);
    assert_eq!(document["distances"][1]["rtt-ms"], 20.0);
    assert_eq!(document["distances"][1]["verdict"], "out-of-range");
    assert!(document["distances"][2]["rtt-ms"].is_null());
}

#[test]
fn what_the_other_end_measured_counts_too() {
    let fixture = fixture(&[("Nantes", "Paris", 7, 3)]);
    let plan = planned(&fixture, "GET", "{Nova: around(Paris, 50ms)}");
    assert_eq!(short(&plan.route), "gather Paris Nantes");
    assert_eq!(plan.candidates[1].by, Some("Nantes".into()));
}

#[test]
fn dead_sites_are_not_in_range_and_last_of_all() {
    let mut fixture = fixture(&ALL);
    fixture.distances.stands(&"Paris".into(), State::Dead);
    let plan = planned(&fixture, "POST", "{Nova: around(Paris, 50ms)}");
    assert_eq!(short(&plan.route), "first-of Nantes Berlin");
    assert_eq!(codes(&plan)[0], ("Paris", "down"));
    let plan = planned(&fixture, "POST", "{Nova: *}");
    assert_eq!(short(&plan.route), "first-of Berlin Nantes Paris");
    assert_eq!(codes(&plan)[2], ("Paris", "down-tried-last"));
    fixture.distances.stands(&"Nantes".into(), State::Suspect);
    assert_eq!(short(&planned(&fixture, "GET", "{Nova: around(Nantes, 1ms)}").route), "gather Nantes");
}

/// Unknown distance is not zero, and not any other number either.
#[test]
fn nobody_in_range_is_refused_with_what_is_known() {
    let mut fixture = fixture(&[("Berlin", "Paris", 20, 29)]);
    fixture.distances.stands(&"Nantes".into(), State::Dead);
    let problem = refusal(by_header(&fixture, BERLIN, "POST", "/v2/servers", "{Nova: around(Nantes, 50ms)}"));
    assert_eq!((problem.code, problem.code.status()), (Code::DistanceUnknown, 503));
    assert_eq!(problem.position, Some((14, 6)));
    let hint = problem.hint.expect("a hint");
    assert!(
        hint.contains("Paris, its distance from Nantes is unknown") && hint.contains("Nantes itself: is down"),
        "{hint}"
    );
    // As long as other sites are left, what can't be known is left out.
    let plan = planned(&fixture, "POST", "{Nova: Paris || around(Nantes, 50ms)}");
    assert_eq!(short(&plan.route), "at Paris");

    let mut fixture = super::around::fixture(&ALL);
    fixture.distances.stands(&"Nantes".into(), State::Dead);
    let problem = refusal(by_header(&fixture, BERLIN, "POST", "/v2/servers", "{Nova: around(Nantes, 5ms)}"));
    assert_eq!((problem.code, problem.code.status()), (Code::NoSiteInRange, 503));
    assert!(problem.detail.contains("within 5 ms of Nantes"), "{problem:?}");
    assert!(problem.hint.expect("a hint").contains("Berlin, 60 ms from Nantes"));
}

#[test]
fn sites_without_the_service_are_left_out() {
    let fixture = fixture(&ALL);
    let at = |to, scope| by_header(&fixture, to, "GET", "/a", scope);
    let solo = plan(at("10.0.0.1:70", "{Solo: around(Berlin, 1s)}"));
    assert_eq!(short(&solo.route), "gather Berlin");
    assert_eq!(codes(&solo), [("Berlin", "in-range"), ("Paris", "no-endpoint"), ("Nantes", "no-endpoint")]);
    let vault = plan(at("10.0.1.1:443", "{Vault: *}"));
    assert_eq!(vault.candidates.iter().filter(|one| one.verdict == Verdict::In).count(), 1, "the others' are https");
    assert_eq!(refusal(at("10.0.0.1:70", "{Solo: around(Paris, 1ms)}")).code, Code::NoSiteInRange);
}

/// A workflow carries the expression, not what it came to: the first call of a service goes by the distances of its time.
#[test]
fn a_workflow_carries_the_expression() {
    let mut fixture = fixture(&ALL);
    let plan = planned(&fixture, "POST", "{around: Paris, 50ms}");
    let scope = Completed::parse(&plan.scope.expect("a scope").completed).expect("valid");
    assert_eq!(
        (scope.to_string().as_str(), &scope.default),
        (r#"{"Nova":"around(Paris, 50ms)","default":null}"#, &None)
    );
    fixture.distances.stands(&"Paris".into(), State::Dead);
    let entry = "Berlin".into();
    let head = head("GET", "/v2/servers", None);
    let workflow = Some(Workflow { scope: &scope, entry: &entry, placed: &[] });
    let asked = Asked { head: &head, orig: orig(BERLIN), session: None, workflow };
    assert_eq!(short(&super::plan(decide(&asked, &fixture.world())).route), "gather Nantes Berlin");
}

/// Which sites are in range may change from page to page; a list that was begun goes on where it was begun.
#[test]
fn a_list_goes_on_at_the_sites_where_it_was_begun() {
    use crate::plan::marker::{Cursor, Marker};
    let fixture = fixture(&ALL);
    let places = ["Nantes", "Paris", "Atlantis"].map(|site| (site.to_owned(), Cursor::Fresh));
    let marker = Marker(places.to_vec()).write().expect("short");
    let at = |scope: &str, marker: &str| {
        plan(by_header(&fixture, BERLIN, "GET", &format!("/v2/servers?cheops-marker={marker}"), scope))
    };
    for (scope, expected) in [
        ("{Nova: around(Berlin, 1ms)}", "gather Nantes Paris"),
        ("{Nova: *}", "gather Nantes Paris"),
        ("{Nova: Paris & *}", "gather Nantes Paris"),
        // These are named, and no distance changes them.
        ("{Nova: Berlin & Paris}", "gather Berlin Paris"),
        ("{Nova: Berlin || around(Paris, 1ms)}", "first-of Berlin Paris"),
    ] {
        let plan = at(scope, &marker);
        assert_eq!(short(&plan.route), expected, "{scope}");
        let told = plan.reasons.iter().any(|reason| reason.code == "list-goes-on");
        assert_eq!(told, expected == "gather Nantes Paris", "{:?}", plan.reasons);
    }
    for marker in ["", "7", &marker[1..]] {
        assert_eq!(short(&at("{Nova: around(Berlin, 1ms)}", marker).route), "gather Berlin");
    }
}

/// What nobody measured is estimated, told as an estimate, and in range only with all of its error.
#[test]
fn an_estimate_counts_with_its_error() {
    let place = |text: &str| Placed { at: serde_json::from_str(text).expect("a place"), age: Duration::from_secs(7) };
    let mut fixture = fixture(&ALL[..1]);
    fixture.distances.lies(&"Paris".into(), place("[[0],1000,100]"));
    fixture.distances.lies(&"Nantes".into(), place("[[28000],1000,100]"));
    let at = |within: &str| {
        let plan = planned(&fixture, "POST", &format!("{{Nova: around(Paris, {within})}}"));
        (short(&plan.route), plan.candidates.into_iter().find(|one| one.site.as_str() == "Nantes").expect("Nantes"))
    };
    let (route, nantes) = at("36ms");
    assert_eq!(route, "first-of Paris Berlin Nantes");
    assert_eq!((nantes.rtt, nantes.error), (Some(Duration::from_millis(30)), Some(Duration::from_millis(6))));
    assert_eq!((nantes.age, &nantes.by), (Some(Duration::from_secs(7)), &None));
    assert_eq!(nantes.told(), "Nantes, about 30 ms from Paris (estimated, ± 6 ms): is tried");
    let (route, nantes) = at("35ms");
    assert_eq!((route.as_str(), nantes.verdict), ("first-of Paris Berlin", Verdict::DistanceUnknown));
    assert!(nantes.told().ends_with("is not surely in range, 35 ms at most"), "{}", nantes.told());
    assert_eq!(at("29ms").1.verdict, Verdict::OutOfRange);
    // What was measured counts, whatever the places say.
    fixture.distances.lies(&"Berlin".into(), place("[[500000],1000,100]"));
    assert_eq!(short(&planned(&fixture, "POST", "{Nova: around(Paris, 20ms)}").route), "first-of Paris Berlin");
}
