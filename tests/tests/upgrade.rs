//! The agent hands everything on to a successor, under load: nobody notices, and tunnels live on in the old one.

use std::io::Write;
use std::time::Instant;

use anyhow::ensure;
use cheops_tests::lab::eventually;
use cheops_tests::lab::load::site::{Crowd, SOON, Service, Site, once, unharmed};

const CONFIGURATION: &str = "[timeouts]\ndrain = '5s'\n[log]\nlevel = 'warn'\n";
const TUNNELS: usize = 5;
const HANDED_ON: usize = 10;

fn tell(cases: usize, what: &str) {
    _ = writeln!(std::io::stderr(), "  upgrade: {cases} cases: {what}");
}

/// All that the services were sent came from this crowd and went well; its tunnels too.
fn unnoticed(site: &mut Site, crowd: Crowd) -> anyhow::Result<u64> {
    let fared = crowd.finish()?;
    let requests = unharmed(&fared)?;
    once(&site.counted()?, requests)?;
    let tunnels = fared.iter().find(|(name, _)| *name == "tunnels").map(|(_, fared)| fared);
    let lived = tunnels.is_some_and(|fared| fared.broken == 0 && fared.begun as usize == TUNNELS && fared.echoes > 100);
    ensure!(lived, "{tunnels:?}");
    site.one_set()?;
    Ok(requests)
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
