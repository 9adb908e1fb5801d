//! Measured distances, states, and `around`, which goes by them.

#[path = "latency/around.rs"]
mod around;
#[path = "latency/states.rs"]
mod states;

use std::time::Duration;

use cheops_tests::lab::{Federation, Offered, eventually};
use serde_json::Value;

/// Nothing takes longer, however busy the machine.
const SOON: Duration = Duration::from_secs(30);

/// Berlin, Paris and Nantes, which have `app`, and Lyon, which has not.
fn four() -> anyhow::Result<Federation> {
    let app = Offered::new("app", 8080).at(&["Berlin", "Paris", "Nantes"]);
    Federation::builder().sites(&["Berlin", "Paris", "Nantes", "Lyon"]).service(app).start()
}

/// A round trip between two sites takes so many milliseconds from now on.
fn away(federation: &Federation, one: &str, other: &str, ms: u64) {
    federation.world().link(one, other).round_trip(Duration::from_millis(ms));
}

/// What the site's agent says of another site.
fn seen(federation: &Federation, at: &str, of: &str) -> anyhow::Result<Value> {
    let sites = federation.agent(at).admin("/v1/sites")?.json()?;
    let found = sites["sites"].as_array().into_iter().flatten().find(|site| site["name"] == of);
    found.cloned().ok_or_else(|| anyhow::anyhow!("{at} doesn't know {of}: {sites}"))
}

/// The distance that `from` measured, in milliseconds, as `at` knows it.
fn distance(federation: &Federation, at: &str, from: &str, to: &str) -> Option<f64> {
    let map = federation.agent(at).admin("/v1/map").ok()?.json().ok()?;
    let mut all = map["distances"].as_array()?.iter();
    all.find(|one| one["from"] == from && one["to"] == to)?["rtt-ms"].as_f64()
}

/// Waits until the site's agent sees another in that state.
#[track_caller]
fn until(federation: &Federation, at: &str, of: &str, state: &str, within: Duration) {
    let stands = || seen(federation, at, of).is_ok_and(|site| site["state"] == state);
    assert!(eventually(within, stands), "{at} doesn't see {of} {state}: {:?}", seen(federation, at, of));
}

/// Waits until Berlin knows the distances that its own site and Lyon measured.
#[track_caller]
fn until_measured(federation: &Federation) {
    let pairs = [("Berlin", "Paris"), ("Berlin", "Nantes"), ("Lyon", "Paris"), ("Lyon", "Nantes"), ("Lyon", "Berlin")];
    let known = || pairs.iter().all(|(from, to)| distance(federation, "Berlin", from, to).is_some());
    assert!(eventually(SOON, known), "{:?}", federation.agent("Berlin").admin("/v1/map").and_then(|map| map.json()));
}
