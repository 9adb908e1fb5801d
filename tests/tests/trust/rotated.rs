//! The federation's authority is replaced, and nobody notices but those that come too late.

use std::time::{Duration, Instant};

use anyhow::ensure;
use cheops_tests::lab::{Federation, eventually, tell};
use serde_json::Value;

use super::{SITES, SOON, by_command, certificate, check, said, under_load};

/// A rotation takes seconds; on a busy machine some more.
const ROTATED: Duration = Duration::from_secs(120);

fn rotation(federation: &Federation, at: &str) -> Value {
    let answer = federation.agent(at).admin("/v1/membership/authority").and_then(|answer| answer.json());
    answer.unwrap_or_default()
}

fn signer(federation: &Federation, site: &str) -> String {
    certificate(federation, site).map(|told| told["authority"].to_string()).unwrap_or_default()
}

/// Whether all hosts have certificates of the same authority, another one than before, and believe nobody else.
fn all_follow(federation: &Federation, before: &str) -> bool {
    let now = signer(federation, "Berlin");
    now != before
        && SITES.iter().all(|site| {
            let told = certificate(federation, site).unwrap_or_default();
            signer(federation, site) == now && told["authorities"] == 1
        })
}

/// Nothing is refused anywhere, and each site serves each other one.
fn is_whole(federation: &Federation) -> anyhow::Result<()> {
    for site in SITES {
        let refused = || federation.agent(site).admin("/v1/status").and_then(|answer| answer.json());
        let none = || refused().is_ok_and(|status| status["metadata"]["refused-count"] == 0);
        ensure!(eventually(SOON, none), "{site}: {}", refused()?["metadata"]["refused"]);
        for to in SITES {
            let served = || {
                let answer = federation.get(site, "app", "/echo", Some(&format!("{{app: {to}}}")));
                answer.is_ok_and(|answer| answer.site().as_deref() == Some(to))
            };
            ensure!(eventually(SOON, served), "{site} doesn't reach {to}");
        }
    }
    Ok(())
}

#[test]
fn the_authority_is_replaced_under_load_and_no_request_fails() -> anyhow::Result<()> {
    let federation = by_command()?;
    ensure!(federation.agent("Paris").cheops(&["site", "drain"])?.status.success());
    let token = federation.issue("Berlin", &["Paris", "--host", "p2"])?;
    let before = signer(&federation, "Berlin");
    let ways = [("Berlin", "Paris"), ("Paris", "Nantes"), ("Nantes", "Berlin")];
    let (took, asked, wrong) = under_load(&federation, &ways, || {
        let begin = Instant::now();
        let output = federation.agent("Berlin").cheops(&["site", "rotate-authority"])?;
        ensure!(output.status.success(), "{}", said(&output));
        ensure!(said(&output).contains("step 1 of 2") && said(&output).contains("step 2 of 2"), "{}", said(&output));
        ensure!(eventually(ROTATED, || all_follow(&federation, &before)), "{}", federation.agent("Paris").log());
        Ok(begin.elapsed())
    })?;
    ensure!(wrong.is_empty(), "{} of {asked} requests failed, the first: {:?}", wrong.len(), wrong.first());
    tell("trust", &format!("the authority of three sites is replaced in {took:.1?}: {asked} requests, 0 failed"));
    is_whole(&federation)?;
    // What was said under the old authority holds on.
    let sites = federation.agent("Nantes").admin("/v1/sites")?.json()?;
    let paris = sites["sites"].as_array().into_iter().flatten().find(|site| site["name"] == "Paris");
    ensure!(paris.is_some_and(|paris| paris["standing"] == "drained"), "{sites}");
    let (further, _services) = federation.further("Paris", "p2", &[])?;
    let joins = further.cheops(&["site", "join", &token])?;
    ensure!(joins.status.success(), "{}", said(&joins));
    Ok(())
}

#[test]
fn a_rotation_goes_on_wherever_it_was_cut() -> anyhow::Result<()> {
    let mut federation = by_command()?;
    let before = signer(&federation, "Berlin");
    // Nobody else can follow, so that each step can be seen.
    federation.agent("Nantes").sigstop()?;
    let begins = federation.agent("Berlin").cheops(&["site", "rotate-authority", "--no-wait"])?;
    ensure!(begins.status.success(), "{}", said(&begins));
    crash(&mut federation)?;
    let waits = || rotation(&federation, "Berlin")["state"] == "spreading" && named(&federation).contains("Nantes");
    ensure!(eventually(SOON, waits), "{}", rotation(&federation, "Berlin"));
    ensure!(check(&federation, "Berlin").contains("doesn't believe the new authority yet"));
    let wide = said(&federation.agent("Berlin").cheops(&["sites", "-o", "wide"])?);
    ensure!(wide.contains("doesn't believe the new authority yet"), "{wide}");
    ensure!(said(&federation.agent("Berlin").cheops(&["status"])?).contains("being replaced, spreading"));
    federation.agent("Nantes").sigcont()?;
    let renewing = || rotation(&federation, "Berlin")["state"] != "spreading";
    ensure!(eventually(ROTATED, renewing), "{}", rotation(&federation, "Berlin"));
    crash(&mut federation)?;
    let followed = || rotation(&federation, "Berlin")["state"] == "none" && all_follow(&federation, &before);
    ensure!(eventually(ROTATED, followed), "{}\n{}", rotation(&federation, "Berlin"), federation.agent("Berlin").log());
    crash(&mut federation)?;
    is_whole(&federation)
}

fn named(federation: &Federation) -> String {
    rotation(federation, "Berlin")["missing"].to_string()
}

/// Ends the agent that has the keys at once, and starts it again.
fn crash(federation: &mut Federation) -> anyhow::Result<()> {
    let agent = federation.agent_mut("Berlin");
    agent.kill9()?;
    agent.launch()?;
    agent.wait_ready(SOON)
}

#[test]
fn who_was_away_follows_and_who_comes_too_late_is_told_what_to_do() -> anyhow::Result<()> {
    let mut federation = by_command()?;
    let before = signer(&federation, "Berlin");
    for site in ["Paris", "Nantes"] {
        federation.agent_mut(site).stop()?;
    }
    let away = |site: &str| {
        let status = federation.agent("Berlin").admin("/v1/status").and_then(|answer| answer.json());
        let keys = federation.etcd().etcdctl(&["get", "--prefix", "--keys-only", "/cheops/lab/liveness/"]);
        status.is_ok() && keys.is_ok_and(|keys| !keys.contains(site))
    };
    ensure!(eventually(Duration::from_secs(60), || away("Paris") && away("Nantes")), "they are still leased");
    let begins = federation.agent("Berlin").cheops(&["site", "rotate-authority", "--no-wait"])?;
    ensure!(begins.status.success(), "{}", said(&begins));
    let waits = || {
        let now = rotation(&federation, "Berlin");
        let missing = now["missing"].as_array().cloned().unwrap_or_default();
        now["state"] == "renewing" && missing.len() == 2 && missing.iter().all(|missing| missing["lives"] == false)
    };
    ensure!(eventually(ROTATED, waits), "{}", rotation(&federation, "Berlin"));

    let paris = federation.agent_mut("Paris");
    paris.launch()?;
    paris.wait_ready(SOON)?;
    let follows =
        || signer(&federation, "Paris") == signer(&federation, "Berlin") && signer(&federation, "Paris") != before;
    ensure!(eventually(ROTATED, follows), "{}", federation.agent("Paris").log());

    let forced = federation.agent("Berlin").cheops(&["site", "rotate-authority", "--force"])?;
    ensure!(forced.status.success() && said(&forced).contains("needs a new token"), "{}", said(&forced));
    let nantes = federation.agent_mut("Nantes");
    nantes.launch()?;
    nantes.wait_ready(SOON)?;
    let told = || check(&federation, "Nantes").contains("ask for a new token");
    ensure!(eventually(SOON, told), "{}", check(&federation, "Nantes"));
    ensure!(federation.get("Nantes", "app", "/echo", None)?.site().as_deref() == Some("Nantes"), "its own site");
    let run = |at: &str, line: &[&str]| -> anyhow::Result<()> {
        let output = federation.agent(at).cheops(line)?;
        ensure!(output.status.success(), "{line:?}: {}", said(&output));
        Ok(())
    };
    let token = federation.issue("Berlin", &["Nantes", "--host", "nantes"])?;
    run("Nantes", &["site", "leave", "--force"])?;
    run("Nantes", &["site", "join", &token])?;
    is_whole(&federation)
}
