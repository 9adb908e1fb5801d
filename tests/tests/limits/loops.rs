//! Connections that would come back to the agent: refused at once, each time, and nothing is left of them.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cheops_tests::lab::{Agent, Client, Federation, Offered, eventually, tell};
use toml::Value;

use super::scene::{GET, SOON};

const TIMES: usize = 50;
/// Unless the machine is busy.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Nantes's endpoint of the service `mirror` is the port at which Nantes's agent listens for others; only that agent can
/// know.
fn federation() -> anyhow::Result<Federation> {
    let nantes = |site: &str, table: &mut toml::Table| {
        for service in table.get_mut("services").and_then(Value::as_array_mut).into_iter().flatten() {
            if service["name"].as_str() == Some("mirror") {
                service["endpoints"]["Nantes"] = "http://10.77.3.1:7117".into();
            }
        }
        if site == "Nantes" {
            table["peer"]["listen"] = "0.0.0.0:7117".into();
        }
    };
    Federation::builder()
        .service(Offered::new("app", 8080))
        .service(Offered::new("mirror", 8090).unserved())
        .configure(nantes)
        .start()
}

fn descriptors(agent: &Agent) -> anyhow::Result<usize> {
    let id = agent.pid().context("runs")?;
    Ok(std::fs::read_dir(format!("/proc/{id}/fd"))?.count())
}

/// Asks again and again, by a connection each time. How long the quickest answer took.
fn quickest(connect: impl Fn() -> anyhow::Result<Client>, request: &str) -> anyhow::Result<Duration> {
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let begin = Instant::now();
        let answer = connect()?.exchange(request)?;
        took.push(begin.elapsed());
        ensure!(answer.status == 508 && answer.json()?["code"] == "loop", "{}", answer.text());
    }
    took.into_iter().min().context("no answer")
}

#[test]
fn loops_are_refused_at_once_and_leave_nothing() -> anyhow::Result<()> {
    let federation = federation()?;
    let (berlin, nantes) = (federation.host("Berlin"), federation.host("Nantes"));
    let agents = ["Berlin", "Nantes"].map(|site| federation.agent(site));
    let scoped = GET.replace("Host: x", "Host: x\r\nX-Scope: {mirror: Nantes}");
    // The agent that is asked by another one, and the agent whose own host's client asks.
    let by_peer = || berlin.connect(berlin.at(8090));
    let by_client = || nantes.connect(berlin.at(8090));
    quickest(by_peer, &scoped)?;
    quickest(by_client, &scoped)?;
    let before = agents.iter().map(|agent| descriptors(agent)).collect::<anyhow::Result<Vec<_>>>()?;
    for (who, took) in [("a peer", quickest(by_peer, &scoped)?), ("a client", quickest(by_client, &scoped)?)] {
        ensure!(took < AT_ONCE, "{who} was refused after {took:?}");
    }
    for (agent, before) in agents.iter().zip(before) {
        let mut last = 0;
        let flat = eventually(SOON, || {
            last = descriptors(agent).unwrap_or_default();
            (1..=before + 5).contains(&last)
        });
        ensure!(flat, "{before} descriptors before and {last} after");
    }
    ensure!(federation.get("Berlin", "app", "/", Some("{app: Nantes}"))?.status == 200, "all else goes on");
    tell("limits", &format!("{} cases of loops", 2 * TIMES));
    Ok(())
}
