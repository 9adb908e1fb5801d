//! A host that was revoked is out: at once, for whoever learns it, and after a restart.

use std::time::{Duration, Instant};

use anyhow::ensure;
use cheops_tests::lab::{Federation, eventually, tell};

use super::{SOON, joined};

/// AMENDMENTS 20 and issue 5: where the metadata cluster is reachable.
const WITHIN: Duration = Duration::from_secs(10);

fn serves(federation: &Federation, from: &str, to: &str) -> bool {
    let answer = federation.get(from, "app", "/echo", Some(&format!("{{app: {to}}}")));
    answer.is_ok_and(|answer| answer.site().as_deref() == Some(to))
}

fn trouble(federation: &Federation, at: &str, of: &str) -> String {
    let sites = federation.agent(at).admin("/v1/sites").and_then(|answer| answer.json()).unwrap_or_default();
    let found = sites["sites"].as_array().into_iter().flatten().find(|site| site["name"] == of);
    found.map(|site| site["trouble"].to_string()).unwrap_or_default()
}

#[test]
fn a_revoked_host_is_out_both_ways_and_told_why_and_stays_out() -> anyhow::Result<()> {
    let mut federation = joined(Duration::from_secs(3600))?;
    let both = |federation: &Federation| serves(federation, "Berlin", "Paris") && serves(federation, "Paris", "Berlin");
    ensure!(eventually(SOON, || both(&federation)), "they don't serve each other");
    let begin = Instant::now();
    let output = federation.agent("Berlin").cheops(&["site", "revoke", "Paris"])?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let out =
        |federation: &Federation| !serves(federation, "Berlin", "Paris") && !serves(federation, "Paris", "Berlin");
    ensure!(eventually(WITHIN, || out(&federation)), "Paris is still believed");
    let took = begin.elapsed();
    ensure!(took <= WITHIN, "{took:?}");
    let told = || trouble(&federation, "Paris", "Berlin").contains("was revoked");
    ensure!(eventually(SOON, told), "Paris says: {}", trouble(&federation, "Paris", "Berlin"));
    ensure!(serves(&federation, "Berlin", "Nantes"), "another site is out, too");
    tell("trust", &format!("a revoked host is out after {took:?} at the agent that learns it"));

    federation.agent_mut("Berlin").restart()?;
    ensure!(eventually(SOON, || serves(&federation, "Berlin", "Nantes")), "Berlin is not back");
    ensure!(out(&federation), "Paris is believed again after a restart");
    Ok(())
}

#[test]
fn nobody_revokes_itself() -> anyhow::Result<()> {
    let federation = joined(Duration::from_secs(3600))?;
    let output = federation.agent("Berlin").cheops(&["site", "revoke", "Berlin"])?;
    ensure!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("site leave"), "{output:?}");
    Ok(())
}
