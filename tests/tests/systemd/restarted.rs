//! The agent is restarted, killed and stopped by its systemd while clients that never try again are at work.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use cheops_tests::lab::{Client, Service, System, eventually};

use super::*;

const SOON: Duration = Duration::from_secs(60);
const GET: &str = "GET /x HTTP/1.1\r\nHost: app\r\n\r\n";

/// The attached programs' number in one set.
const SET: usize = 8;

fn app() -> SocketAddr {
    ([127, 0, 0, 1], 8080).into()
}

/// A system with a running agent that refuses while it is down.
fn running() -> anyhow::Result<(System, Service)> {
    let system = System::builder()?.start()?;
    let app = system.serve("app", &[app()])?;
    system.install(
        "site = \"Berlin\"\n[[services]]\nname = \"app\"\nwhen-agent-down = \"refuse\"\n\
        endpoints = { Berlin = \"http://127.0.0.1:8080\" }\n",
    )?;
    system.run(&["systemctl", "start", "cheops-agent.service"])?;
    system.user(&["cheops", "status", "--wait=10s"])?;
    Ok((system, app))
}

/// Connections that were taken, passed by, and refused.
fn counted(system: &System) -> anyhow::Result<Vec<u64>> {
    ["taken", "stale-passed", "stale-refused"].iter().map(|what| system.counter("leave", what)).collect()
}

/// Requests one after another until `done`: on a connection that is kept as long as the agent keeps it, or each on its
/// own. The number of requests and of connections.
fn requests(system: &System, kept: bool, done: &AtomicBool) -> anyhow::Result<(u64, u64)> {
    let (mut made, mut connections) = (0, 0);
    let mut connection: Option<Client> = None;
    while !done.load(Ordering::Relaxed) {
        let mut client = match connection.take() {
            Some(client) => client,
            None => {
                connections += 1;
                system.connect(app())?
            }
        };
        let answer = client.exchange(GET).with_context(|| format!("request {made}, connection {connections}"))?;
        ensure!(answer.status == 200, "{answer:?}");
        made += 1;
        if kept && answer.header("Connection").as_deref() != Some("close") {
            connection = Some(client);
        }
    }
    Ok((made, connections))
}

/// Runs `change` with clients at work, none of whose requests fails or passes the agent by.
fn unnoticed(system: &System, app: &Service, change: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    app.take_requests();
    let (before, done) = (counted(system)?, AtomicBool::new(false));
    let (made, changed) = std::thread::scope(|scope| {
        let loads: Vec<ScopedJoinHandle<'_, _>> = [true, false, true]
            .map(|kept| {
                scope.spawn({
                    let done = &done;
                    move || requests(system, kept, done)
                })
            })
            .into();
        let under_way = eventually(SOON, || app.requests().len() > 50);
        let changed = if under_way { change() } else { Err(anyhow::anyhow!("there is no load")) };
        done.store(true, Ordering::Relaxed);
        (loads.into_iter().map(|load| load.join().expect("no panic")).collect::<anyhow::Result<Vec<_>>>(), changed)
    });
    changed?;
    let made = made.with_context(|| system.log())?;
    let (requests, connections) = made.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let after = counted(system)?;
    assert_eq!(app.take_requests().len() as u64, requests);
    // Probes are taken too.
    assert!(after[0] - before[0] >= connections, "{before:?} {after:?} of {connections}");
    assert_eq!(after[1..], before[1..], "passed by or refused");
    assert_eq!(system.attached()?, SET);
    println!("{requests} requests on {connections} connections");
    Ok(())
}

#[test]
fn a_restart_and_a_reload_lose_nothing_and_nothing_passes_by() -> anyhow::Result<()> {
    let (system, app) = running()?;
    for _ in 0..3 {
        let pid = system.property("MainPID")?;
        unnoticed(&system, &app, || {
            system.run(&["systemctl", "restart", "cheops-agent.service"])?;
            ensure!(system.property("MainPID")? != pid, "it is the same process");
            system.run(&["systemctl", "reload", "cheops-agent.service"]).map(drop)
        })?;
    }
    Ok(())
}

#[test]
fn after_a_crash_connections_wait_and_after_a_stop_there_is_no_trace() -> anyhow::Result<()> {
    let (system, app) = running()?;
    let kill = |signal: &str| -> anyhow::Result<()> {
        let pid = system.property("MainPID")?;
        system.run(&["kill", signal, &pid])?;
        let mut client = system.connect(app.addresses()[0])?;
        ensure!(client.exchange(GET)?.status == 200, "not served");
        let back = || system.property("MainPID").is_ok_and(|now| now != pid && now != "0");
        ensure!(eventually(SOON, back), "not started again: {}", system.log());
        Ok(())
    };
    let before = counted(&system)?;
    for _ in 0..3 {
        kill("-KILL")?;
    }
    system.user(&["cheops", "status", "--wait=10s"])?;
    assert_eq!(counted(&system)?[1..], before[1..], "passed by or refused");
    assert_eq!(system.attached()?, SET);
    assert!(system.property("NRestarts")? == "3");

    system.run(&["systemctl", "stop", "cheops-agent.service"])?;
    assert_eq!(system.attached()?, 0);
    app.take_requests();
    assert_eq!(system.connect(app.addresses()[0])?.exchange(GET)?.status, 200, "the API is reached directly");
    system.run(&["systemctl", "start", "cheops-agent.service"])?;
    system.user(&["cheops", "status", "--wait=10s"])?;
    assert_eq!(system.attached()?, SET);
    Ok(())
}

/// `signal` to the agent, and another process has its place.
fn replaced(system: &System) -> anyhow::Result<()> {
    let pid = system.property("MainPID")?;
    system.run(&["kill", "-USR2", &pid])?;
    let is_other = || system.property("MainPID").is_ok_and(|now| now != pid && now != "0");
    ensure!(eventually(SOON, is_other), "no new agent: {}", system.log());
    Ok(())
}

#[test]
fn a_successor_takes_over_unnoticed_and_the_old_agent_ends_with_its_last_connection() -> anyhow::Result<()> {
    let (system, app) = running()?;
    let first = system.property("MainPID")?;
    let mut idle = system.connect(app.addresses()[0])?;
    assert_eq!(idle.exchange(GET)?.status, 200);
    for _ in 0..3 {
        unnoticed(&system, &app, || replaced(&system))?;
    }
    system.user(&["cheops", "status", "--wait=10s"])?;
    assert_eq!(system.property("NRestarts")?, "0");
    // It waits for its next request, and ends with that.
    let lives = |pid: &str| system.run(&["test", "-d", &format!("/proc/{pid}")]).is_ok();
    assert!(lives(&first));
    assert_eq!(idle.exchange(GET)?.header("Connection").as_deref(), Some("close"));
    assert!(eventually(SOON, || !lives(&first)), "it goes on without connections");

    // A crash of the last one is noticed by systemd, whose child it is.
    let last = system.property("MainPID")?;
    system.run(&["kill", "-KILL", &last])?;
    assert_eq!(system.connect(app.addresses()[0])?.exchange(GET)?.status, 200);
    assert!(eventually(SOON, || system.property("NRestarts").is_ok_and(|count| count == "1")));
    Ok(())
}

#[test]
fn what_is_installed_over_a_running_agent_takes_over() -> anyhow::Result<()> {
    let (system, app) = running()?;
    let pid = system.property("MainPID")?;
    // As if another version had been installed.
    system.script("printf x >> /usr/bin/cheops")?;
    let install = [&*program("xtask")?.display().to_string(), "install", "--debug"];
    unnoticed(&system, &app, || {
        let said = system.run(&install)?;
        ensure!(said.contains("has taken over from process"), "{said}");
        Ok(())
    })?;
    let successor = system.property("MainPID")?;
    assert_ne!(successor, pid);
    system.run(&install)?;
    assert_eq!(system.property("MainPID")?, successor, "nothing was new");
    Ok(())
}

#[test]
fn a_successor_that_can_not_start_changes_nothing() -> anyhow::Result<()> {
    let (system, app) = running()?;
    let pid = system.property("MainPID")?;
    system.configure("site = 5")?;
    unnoticed(&system, &app, || {
        system.run(&["kill", "-USR2", &pid])?;
        let told = || system.log().contains("no new agent has taken over");
        ensure!(eventually(SOON, told), "{}", system.log());
        Ok(())
    })?;
    assert_eq!(system.property("MainPID")?, pid);
    Ok(())
}
