//! Ready by itself: whatever other sites and the metadata cluster do, an agent starts, restarts, reloads and serves its own.

#[path = "readiness/etcd.rs"]
mod etcd;

use std::time::{Duration, Instant};

use cheops_tests::lab::{Federation, Offered, eventually};
use serde_json::Value;

/// A restart, until it is ready, with nobody else there.
const QUICK: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(30);

fn app() -> Offered {
    Offered::new("app", 8080)
}

fn ready(federation: &Federation, at: &str) -> bool {
    federation.agent(at).admin("/readyz").is_ok_and(|answer| answer.status == 200)
}

/// The site serves its own requests through its agent.
#[track_caller]
fn serves(federation: &Federation, at: &str) {
    let answer = federation.get(at, "app", "/echo/1", None).expect("an answer");
    assert_eq!((answer.status, answer.site().as_deref()), (200, Some(at)));
    let scope = format!("{{app: {at}}}");
    let answer = federation.get(at, "app", "/echo/1", Some(&scope)).expect("an answer");
    assert_eq!((answer.status, answer.header("x-cheops-site").as_deref()), (200, Some(at)), "the agent served it");
}

fn status(federation: &Federation, at: &str) -> anyhow::Result<Value> {
    federation.agent(at).admin("/v1/status")?.json()
}

fn seen(status: &Value, site: &str) -> Value {
    let mut all = status["sites"].as_array().into_iter().flatten();
    all.find(|known| known["name"] == site).cloned().unwrap_or_default()
}

fn said(federation: &Federation, at: &str, line: &[&str]) -> anyhow::Result<String> {
    Ok(String::from_utf8_lossy(&federation.agent(at).cheops(line)?.stdout).into_owned())
}

/// Every peer is gone, packets to them are lost: a start takes no longer, and readiness says nothing of others.
#[test]
fn an_agent_is_ready_without_any_peer() -> anyhow::Result<()> {
    let mut federation = Federation::builder().service(app()).start()?;
    let up = |federation: &Federation| {
        let status = status(federation, "Berlin").unwrap_or_default();
        ["Paris", "Nantes"].iter().all(|site| seen(&status, site)["state"] == "up")
    };
    assert!(eventually(SOON, || up(&federation)));
    federation.agent_mut("Paris").kill9()?;
    federation.world().isolate("Berlin", true);
    let down = |federation: &Federation| {
        let status = status(federation, "Berlin").unwrap_or_default();
        ["Paris", "Nantes"].iter().all(|site| seen(&status, site)["state"] == "down")
    };
    assert!(eventually(SOON, || down(&federation)));
    assert!(ready(&federation, "Berlin"), "that others went changes nothing");
    serves(&federation, "Berlin");
    let known = status(&federation, "Berlin")?;
    assert!(seen(&known, "Nantes")["age-seconds"].as_f64().is_some_and(|age| age > 1.0), "{known}");

    let begin = Instant::now();
    federation.agent_mut("Berlin").restart()?;
    assert!(begin.elapsed() < QUICK, "a restart took {:?}", begin.elapsed());
    assert!(ready(&federation, "Berlin"));
    serves(&federation, "Berlin");
    // Nobody answered since: nothing is known of them, and that is said.
    let known = status(&federation, "Berlin")?;
    let nantes = seen(&known, "Nantes");
    assert!(nantes["state"] == "unknown" || nantes["state"] == "down", "{nantes}");
    assert!(nantes["age-seconds"].is_null() && nantes["rtt-ms"].is_null() && nantes["version"].is_null(), "{nantes}");
    let told = said(&federation, "Berlin", &["status"])?;
    assert!(told.contains("ready, site Berlin"), "{told}");

    federation.agent_mut("Berlin").reload(|table| {
        let timeouts = toml::toml! { connect = "3s" };
        table.insert("timeouts".into(), timeouts.into());
    })?;
    assert!(ready(&federation, "Berlin"));
    serves(&federation, "Berlin");
    assert_eq!(federation.agent("Berlin").cheops(&["status", "--wait=5s"])?.status.code(), Some(0));
    Ok(())
}

/// What `/readyz` waits for is of this host alone: a scope that needs another site is refused, and the agent stays ready.
#[test]
fn readiness_is_not_about_requests_that_need_others() -> anyhow::Result<()> {
    let mut federation = Federation::builder().sites(&["Berlin", "Paris"]).service(app()).start()?;
    federation.agent_mut("Paris").kill9()?;
    for _ in 0..5 {
        let answer = federation.get("Berlin", "app", "/echo/1", Some("{app: Paris}"))?;
        assert_eq!((answer.status, answer.json()?["code"].as_str()), (503, Some("peer-unreachable")));
        assert!(ready(&federation, "Berlin"));
    }
    Ok(())
}

/// Somebody takes the programs away while the agent runs: it doesn't trust its own memory, but what it sees.
#[test]
fn an_agent_that_takes_nothing_is_not_ready_and_says_so() -> anyhow::Result<()> {
    let overlay = "[intercept]\nprobe-every = '1s'";
    let mut federation = Federation::builder().sites(&["Berlin"]).service(app()).overlay(overlay).start()?;
    serves(&federation, "Berlin");
    let (program, host) = (cheops_tests::lab::program("cheops-agent")?, federation.host("Berlin").clone());
    let config = federation.agent("Berlin").files().config();
    let output = host.command(program).arg("--detach").arg("--config").arg(config).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(eventually(SOON, || !ready(&federation, "Berlin")), "it believes that it takes connections");
    let answer = federation.agent("Berlin").admin("/readyz")?;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("prob"), "{}", answer.text());
    let checked = said(&federation, "Berlin", &["check"])?;
    assert!(checked.contains("127.63.255.254:1"), "{checked}");
    let direct = federation.get("Berlin", "app", "/echo/1", None)?;
    assert_eq!(direct.status, 200, "the service is reached directly");
    federation.agent_mut("Berlin").restart()?;
    serves(&federation, "Berlin");
    Ok(())
}
