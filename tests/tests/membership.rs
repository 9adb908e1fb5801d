//! Hosts that join by command, let others in, and leave: over a real cluster of etcd, with the commands that people type.
//! What is decided in which order is tested in the agent's room `membership`.

#[path = "membership/alone.rs"]
mod alone;
#[path = "membership/joined.rs"]
mod joined;
#[path = "membership/killed.rs"]
mod killed;
#[path = "membership/left.rs"]
mod left;
#[path = "membership/quorum.rs"]
mod quorum;
#[path = "membership/second.rs"]
mod second;
#[path = "membership/tokens.rs"]
mod tokens;

use std::time::Duration;

use cheops_tests::lab::{Agent, EtcdCluster, Federation, Offered, eventually, tell};
use serde_json::Value;

/// Nothing takes longer, however busy the machine.
const SOON: Duration = Duration::from_secs(30);

/// Sites that have joined nothing, with a member of etcd at Berlin alone.
fn sites(cluster: EtcdCluster, sites: &[&str]) -> anyhow::Result<Federation> {
    Federation::builder().sites(sites).service(Offered::new("app", 8080)).joining(cluster.at(&["Berlin"])).start()
}

/// What `cheops` says, on both ways; it must end with this exit code.
#[track_caller]
fn cheops(agent: &Agent, line: &[&str], code: i32) -> String {
    let output = agent.cheops(line).expect("cheops runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{line:?}: {said}");
    said
}

/// What `cheops LINE -o json` says.
#[track_caller]
fn json(agent: &Agent, line: &[&str]) -> Value {
    let said = cheops(agent, &[line, &["-o", "json"]].concat(), 0);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{line:?}: {error}: {said}"))
}

/// Whether a scoped request at `from` is served by `to`.
fn serves(federation: &Federation, from: &str, to: &str) -> bool {
    let answer = federation.get(from, "app", "/echo", Some(&format!("{{app: {to}}}")));
    answer.is_ok_and(|answer| answer.status == 200 && answer.site().as_deref() == Some(to))
}

/// What an agent lists of a site.
fn site(agent: &Agent, of: &str) -> Option<Value> {
    let sites = agent.admin("/v1/sites").ok()?.json().ok()?;
    sites["sites"].as_array()?.iter().find(|site| site["name"] == of).cloned()
}

#[track_caller]
fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(eventually(SOON, condition), "not within {SOON:?}: {what}");
}
