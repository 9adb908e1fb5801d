//! `cheops exec`: every request of a process tree carries a scope that no process of it knows.

#[path = "exec/life.rs"]
mod life;
#[path = "exec/line.rs"]
mod line;
#[path = "exec/login.rs"]
mod login;
#[path = "exec/tree.rs"]
mod tree;

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use cheops_tests::lab::{Agent, Answer, Federation, Offered, eventually};

const SOON: Duration = Duration::from_secs(40);

/// Berlin and Paris with the services `app` and `image`.
fn two_sites() -> anyhow::Result<Federation> {
    Federation::builder()
        .sites(&["Berlin", "Paris"])
        .service(Offered::new("app", 8080).key("type", "store"))
        .service(Offered::new("image", 9292))
        .start()
}

/// Where Berlin's `app` is, as its clients have it in their configuration.
fn url(federation: &Federation, path: &str) -> String {
    format!("http://{}{path}", federation.address("Berlin", "app"))
}

/// Runs `cheops exec` with these arguments at the agent's host.
fn exec(agent: &Agent, arguments: &[&str]) -> anyhow::Result<Output> {
    agent.cheops(&[&["exec"], arguments].concat())
}

/// The answer that a curl under `cheops exec` got.
fn answer(agent: &Agent, arguments: &[&str]) -> anyhow::Result<Answer> {
    let output = exec(agent, arguments)?;
    ensure!(output.status.success(), "{}: {}", output.status, complaint(&output));
    Answer::last_of(&output.stdout)
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The groups of sessions below the agent's host's.
fn groups(agent: &Agent) -> Vec<String> {
    let entries = std::fs::read_dir(agent.host().cgroup()).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("cheops-"))
        .collect()
}

/// The sessions that the agent lists.
fn sessions(agent: &Agent) -> anyhow::Result<Vec<serde_json::Value>> {
    let listed = agent.admin("/v1/sessions")?.json()?;
    listed["items"].as_array().cloned().context("no list of sessions")
}

/// Waits until nothing is left of any session.
#[track_caller]
fn all_gone(agent: &Agent) {
    let gone = eventually(SOON, || groups(agent).is_empty() && sessions(agent).is_ok_and(|list| list.is_empty()));
    assert!(gone, "{:?} {:?}", groups(agent), sessions(agent));
}

/// A command under `cheops exec` that a test talks to: it reads lines and writes lines.
fn start(agent: &Agent, arguments: &[&str]) -> anyhow::Result<std::process::Child> {
    let mut command = agent.cheops_command()?;
    command.arg("exec").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().context("can't start cheops exec")
}
