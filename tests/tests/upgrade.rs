//! The agent hands everything on to a successor, under load: nobody notices, and tunnels live on in the old one.

use std::time::Instant;

use anyhow::{Context, ensure};
use cheops_tests::lab::load::Fared;
use cheops_tests::lab::load::site::{Crowd, SOON, Service, Site, once, unharmed};
use cheops_tests::lab::{self, eventually, program};

const CONFIGURATION: &str = "[timeouts]\ndrain = '5s'\n[log]\nlevel = 'warn'\n";
const TUNNELS: usize = 5;
const HANDED_ON: usize = 10;

fn tell(cases: usize, what: &str) {
    lab::tell("upgrade", &format!("{cases} cases: {what}"));
}

/// All that the services were sent came from this crowd and went well; its tunnels too.
fn unnoticed(site: &mut Site, crowd: Crowd) -> anyhow::Result<u64> {
    let (requests, fared) = unharmed_once(site, crowd)?;
    let tunnels = fared.iter().find(|(name, _)| *name == "tunnels").map(|(_, fared)| fared);
    let lived = tunnels.is_some_and(|fared| fared.broken == 0 && fared.begun as usize == TUNNELS && fared.echoes > 100);
    ensure!(lived, "{tunnels:?}");
    Ok(requests)
}

/// All that the services were sent came from this crowd and went well; one set of programs is attached.
fn unharmed_once(site: &mut Site, crowd: Crowd) -> anyhow::Result<(u64, Vec<(&'static str, Fared)>)> {
    let fared = crowd.finish()?;
    let requests = unharmed(&fared)?;
    once(&site.counted()?, requests)?;
    site.one_set()?;
    Ok((requests, fared))
}

/// Installs the agent whose maps have another layout, or the ordinary one, over the one that runs.
fn install(site: &Site, next: bool) -> anyhow::Result<()> {
    let program = program("cheops-agent")?;
    let program = if next { program.with_file_name("next-layout").join("cheops-agent") } else { program };
    ensure!(program.exists(), "{} is missing; build it with: cargo xtask test --suite upgrade", program.display());
    let to = "/usr/bin/cheops-agent";
    site.system.script(&format!("cp {} {to}.new && mv {to}.new {to}", program.display())).map(drop)
}

/// The layout of the maps of the agent that runs.
fn layout(site: &Site) -> anyhow::Result<u64> {
    let status = site.system.user(&["cheops", "status", "-o", "json"])?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    status["capture"]["kernel"]["abi"].as_u64().with_context(|| format!("{status:#}"))
}

#[test]
fn successors_take_over_unnoticed_and_tunnels_live_on() -> anyhow::Result<()> {
    let mut site = Site::new(CONFIGURATION, "[Service]\nWatchdogSec=10s\n")?;
    let listeners = site.listeners()?;
    let mut crowd = site.crowd(TUNNELS)?;
    crowd.goes_on(300)?;
    let first = site.pid()?;
    let mut took = Vec::new();
    for _ in 0..HANDED_ON {
        let (begin, before) = (Instant::now(), site.pid()?);
        site.kill("-USR2")?;
        site.replaced(&before)?;
        took.push(begin.elapsed());
        crowd.goes_on(300)?;
    }
    let lives = |pid: &str| site.system.run(&["test", "-d", &format!("/proc/{pid}")]).is_ok();
    ensure!(lives(&first), "the first agent has ended: {:#?} {}", crowd.fared()?.last(), site.system.log());
    ensure!(site.system.property("NRestarts")? == "0", "systemd has started one");
    let now: Vec<String> = site.listeners()?;
    ensure!(listeners.iter().all(|listener| now.contains(listener)), "{now:?} instead of {listeners:?}");
    let requests = unnoticed(&mut site, crowd)?;
    let ended = || site.system.run(&["pgrep", "-c", "cheops-agent"]).is_ok_and(|count| count.trim() == "1");
    ensure!(eventually(SOON, ended), "agents live on without connections");
    took.sort_unstable();
    tell(
        HANDED_ON,
        &format!("successors under {requests} requests, 0 failed; one takes {:?} at most", took[took.len() - 1]),
    );
    Ok(())
}

#[test]
fn a_successor_that_can_not_start_changes_nothing() -> anyhow::Result<()> {
    const BAD: &str = "/etc/cheops/agent.d/zz-bad.toml";
    let mut site = Site::new(CONFIGURATION, "[Service]\nWatchdogSec=10s\n")?;
    let mut crowd = site.crowd(TUNNELS)?;
    crowd.goes_on(200)?;
    let pid = site.pid()?;
    site.system.script(&format!("echo nonsense = > {BAD}"))?;
    site.kill("-USR2")?;
    let told = || site.system.log().contains("no new agent has taken over");
    ensure!(eventually(SOON, told), "{}", site.system.log());
    crowd.goes_on(200)?;
    ensure!(site.pid()? == pid, "another process is the agent");
    site.system.script(&format!("rm {BAD}"))?;
    site.kill("-USR2")?;
    site.replaced(&pid)?;
    crowd.goes_on(200)?;
    unnoticed(&mut site, crowd)?;
    let answer = site.get(Service::Refuse, "X-Scope: {refuse: Berlin}\r\n")?;
    ensure!(answer.header("x-cheops-site").is_some(), "{answer:?}");
    tell(2, "a successor that can't start, and the next");
    Ok(())
}

/// A program that is prepared to take over, and gone when it is its turn.
const GONE: &str = r#"#!/usr/bin/python3
import os, socket
if os.environ.get("CHEOPS_SUCCESSOR") == "between":
    if os.fork():
        os._exit(0)
    talk = socket.socket(fileno=os.dup(0))
    socket.recv_fds(talk, 4096, 64)
    talk.send(b"prepared %d" % os.getpid())
    talk.recv(64)
"#;

#[test]
fn a_successor_that_fails_when_it_is_its_turn_is_undone() -> anyhow::Result<()> {
    let mut site = Site::new(CONFIGURATION, "[Service]\nWatchdogSec=10s\n")?;
    let mut crowd = site.crowd(TUNNELS)?;
    crowd.goes_on(200)?;
    let pid = site.pid()?;
    let to = "/usr/bin/cheops-agent";
    site.system.script(&format!("cat > {to}.new <<'END'\n{GONE}END\nchmod 755 {to}.new && mv {to}.new {to}"))?;
    let refused = site.system.run(&["cheops", "upgrade"]).err().context("it can't take over")?.to_string();
    ensure!(refused.contains("this one goes on: the other agent has ended"), "{refused}");
    crowd.goes_on(200)?;
    ensure!(site.pid()? == pid, "another process is the agent");
    install(&site, false)?;
    let said = site.system.run(&["cheops", "upgrade"])?;
    ensure!(said.contains("has taken over from process"), "{said}");
    site.replaced(&pid)?;
    crowd.goes_on(200)?;
    unnoticed(&mut site, crowd)?;
    tell(2, "a successor that fails after the hand-over began is undone, and the next takes over");
    Ok(())
}

/// The agent whose maps have another layout takes over by `change`, and then the ordinary one again.
fn there_and_back(change: &str, tunnels: usize) -> anyhow::Result<(Site, Crowd)> {
    let site = Site::new(CONFIGURATION, "[Service]\nWatchdogSec=10s\n")?;
    let mut crowd = site.crowd(tunnels)?;
    crowd.goes_on(300)?;
    for next in [true, false] {
        install(&site, next)?;
        let before = site.pid()?;
        site.system.script(&change.replace("PID", &before))?;
        site.replaced(&before)?;
        ensure!(layout(&site)? == if next { 2 } else { 1 }, "the agent is not the one that was installed");
        crowd.goes_on(300)?;
    }
    Ok((site, crowd))
}

#[test]
fn a_successor_with_other_maps_takes_over_unnoticed_and_hands_back() -> anyhow::Result<()> {
    let (mut site, crowd) = there_and_back("kill -USR2 PID", TUNNELS)?;
    let requests = unnoticed(&mut site, crowd)?;
    tell(2, &format!("hand-overs to another layout of the maps and back under {requests} requests, 0 failed"));
    Ok(())
}

#[test]
fn a_restart_with_other_maps_and_back_loses_nothing() -> anyhow::Result<()> {
    let (mut site, crowd) = there_and_back("systemctl restart cheops-agent.service", 0)?;
    let (requests, _) = unharmed_once(&mut site, crowd)?;
    tell(2, &format!("restarts with another layout of the maps and back under {requests} requests, 0 failed"));
    Ok(())
}

#[test]
fn an_agent_that_was_replaced_ends_its_tunnels_at_its_deadline() -> anyhow::Result<()> {
    let configuration = CONFIGURATION.replace("[timeouts]", "[timeouts]\nhandover = '2s'");
    let mut site = Site::new(&configuration, "[Service]\nWatchdogSec=10s\n")?;
    let mut crowd = site.crowd(TUNNELS)?;
    crowd.goes_on(200)?;
    let before = site.pid()?;
    site.kill("-USR2")?;
    site.replaced(&before)?;
    let status = site.system.user(&["cheops", "status"])?;
    ensure!(status.contains(&format!("process {before}")), "the old agent isn't shown: {status}");
    let gone = || site.system.run(&["test", "-d", &format!("/proc/{before}")]).is_err();
    ensure!(eventually(SOON, gone), "the old agent lives on: {}", site.system.log());
    ensure!(site.system.log().contains("timeouts.handover is over"), "{}", site.system.log());
    crowd.goes_on(200)?;
    let (_, fared) = unharmed_once(&mut site, crowd)?;
    let tunnels = fared.iter().find(|(name, _)| *name == "tunnels").map(|(_, fared)| fared);
    ensure!(tunnels.is_some_and(|fared| fared.broken as usize == TUNNELS), "{tunnels:?}");
    let status = site.system.user(&["cheops", "status"])?;
    ensure!(!status.contains(&format!("process {before}")), "the ended agent is shown: {status}");
    tell(2, "an old agent is shown as long as it lives, and ends at its deadline");
    Ok(())
}
