//! The agent is killed, hangs, or can't start any more, under load; and it is stopped for good.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cheops_tests::lab::load::site::{SOON, Service, Site, UNIT};
use cheops_tests::lab::load::{Fared, Kinds, Scope, now};
use cheops_tests::lab::{self, eventually};

const CONFIGURATION: &str = "[timeouts]\ndrain = '2s'\n";
const WATCHDOG: Duration = Duration::from_secs(1);
const UNIT_TEXT: &str = "[Service]\nWatchdogSec=1s\n";

/// How long a request may wait for an agent that has died: it is started again, and the connection is in its listener.
const BACK: Duration = Duration::from_secs(4);

/// For longer than this after an agent's death the programs take nothing without another one.
const STALE: Duration = Duration::from_millis(2500);

fn tell(cases: usize, what: &str) {
    lab::tell("crash", &format!("{cases} cases: {what}"));
}

/// Only what was open at one of these moments has failed, and nothing has passed by. The number of failures.
fn only_in_flight(all: &[(&'static str, Fared)], moments: &[(u64, u64)]) -> anyhow::Result<u64> {
    for (name, fared) in all {
        ensure!(fared.bypassed == 0, "{name}: {} scoped requests were served without their scope", fared.bypassed);
        ensure!(fared.failed as usize == fared.failures.len(), "{name}: too many failures: {}", fared.failed);
        for failure in &fared.failures {
            let open = moments.iter().any(|(begin, end)| failure.began <= *end && failure.ended >= *begin);
            ensure!(open, "{name}: {failure:?} was not open at any of {moments:?}");
        }
        let slowest = Duration::from_millis(fared.slowest);
        ensure!(slowest < BACK, "{name}: a request took {slowest:?}");
    }
    Ok(all.iter().map(|(_, fared)| fared.failed).sum())
}

/// Five times: a signal that ends the agent, or lets it hang.
fn five_times(signal: &str) -> anyhow::Result<()> {
    let mut site = Site::new(CONFIGURATION, UNIT_TEXT)?;
    let mut crowd = site.crowd(0)?;
    let mut moments = Vec::new();
    for _ in 0..5 {
        crowd.goes_on(200)?;
        let (before, begin) = (site.pid()?, now());
        site.kill(signal)?;
        let killed = now();
        // A hung agent is killed by systemd when its watchdog has had no sign for so long.
        site.replaced(&before)?;
        let hung = if signal == "-STOP" { now() } else { killed + 500 };
        moments.push((begin, hung));
    }
    crowd.goes_on(200)?;
    let fared = crowd.finish()?;
    let failed = only_in_flight(&fared, &moments)?;
    for counted in site.counted()? {
        ensure!(counted.twice.is_empty() && counted.unscoped.is_empty(), "{counted:?}");
    }
    site.one_set()?;
    let slowest = fared.iter().map(|(_, fared)| fared.slowest).max().unwrap_or_default();
    let requests: u64 = fared.iter().map(|(_, fared)| fared.begun).sum();
    tell(
        5,
        &format!("{signal}: {failed} of {requests} requests were in flight and failed, the slowest took {slowest} ms"),
    );
    Ok(())
}

#[test]
fn a_killed_agent_costs_what_is_in_flight_and_nothing_passes_by() -> anyhow::Result<()> {
    five_times("-KILL")
}

#[test]
fn a_hung_agent_hangs_the_api_for_no_longer_than_its_watchdog() -> anyhow::Result<()> {
    ensure!(BACK > WATCHDOG * 2);
    five_times("-STOP")
}

/// A cause for which no agent starts any more, and its end.
struct Cause {
    name: &'static str,
    begin: &'static str,
    end: &'static str,
}

const CAUSES: [Cause; 2] = [
    Cause {
        name: "a bad configuration",
        begin: "echo nonsense = > /etc/cheops/agent.d/bad.toml",
        end: "rm /etc/cheops/agent.d/bad.toml",
    },
    Cause {
        name: "a program that dies",
        begin: "mv /usr/bin/cheops-agent /usr/bin/good; printf '#!/bin/sh\\nexit 1\\n' > /usr/bin/cheops-agent; chmod 755 /usr/bin/cheops-agent",
        end: "mv /usr/bin/good /usr/bin/cheops-agent",
    },
];

#[test]
fn while_no_agent_starts_services_are_reached_or_refused_as_they_say() -> anyhow::Result<()> {
    let mut site = Site::new(CONFIGURATION, UNIT_TEXT)?;
    for cause in &CAUSES {
        crash_loop(&mut site, cause).with_context(|| cause.name)?;
    }
    tell(CAUSES.len() * 3, "crash loops: passed, refused, and a session's process");
    Ok(())
}

/// Who connects just after the agent's death waits for the next one; these clients don't wait for ever.
const HASTY: Duration = Duration::from_millis(1500);

fn crash_loop(site: &mut Site, cause: &Cause) -> anyhow::Result<()> {
    let kinds = Kinds { fresh: 3, ..Kinds::default() };
    let mut session = site.clients(&format!("session-{}", now()), (Service::Pass, HASTY), kinds, Scope::Session)?;
    ensure!(eventually(SOON, || session.fared().is_ok_and(|fared| fared.right > 50)), "{:?}", session.fared()?);
    site.system.script(cause.begin)?;
    site.kill("-KILL")?;
    std::thread::sleep(STALE);
    let (right, begin) = (session.fared()?.right, Instant::now());
    while begin.elapsed() < Duration::from_secs(2) {
        let passed = site.get(Service::Pass, "")?;
        ensure!(passed.status == 200 && passed.header("x-cheops-site").is_none(), "it is reached directly: {passed:?}");
        let refused = site.system.connect_stream(Service::Refuse.at(), Duration::from_secs(1));
        ensure!(refused.is_err(), "it is reached, and should be refused");
        std::thread::sleep(Duration::from_millis(50));
    }
    let fared = session.fared()?;
    ensure!(fared.right == right && fared.bypassed == 0, "a session's process reaches it: {fared:?}");
    let last = fared.failures.last().context("no failures")?;
    ensure!(last.why.contains("Operation not permitted"), "{last:?}");
    ensure!(site.system.property("NRestarts")?.parse::<u32>()? > 3, "there is no loop");

    site.system.script(cause.end)?;
    let back = || {
        site.get(Service::Refuse, "X-Scope: {refuse: Berlin}\r\n")
            .is_ok_and(|answer| answer.header("x-cheops-site").is_some())
    };
    ensure!(eventually(SOON, back), "it does not recover: {}", site.system.log());
    site.ready()?;
    let right = session.fared()?.right;
    ensure!(
        eventually(SOON, || session.fared().is_ok_and(|fared| fared.right > right + 50)),
        "the session doesn't recover"
    );
    ensure!(session.finish()?.bypassed == 0, "the session's requests were served without their scope");
    site.one_set()
}

#[test]
fn after_a_stop_there_is_no_trace() -> anyhow::Result<()> {
    let site = Site::new(CONFIGURATION, UNIT_TEXT)?;
    ensure!(!site.listeners()?.is_empty());
    site.system.run(&["systemctl", "stop", UNIT])?;
    for service in [Service::Pass, Service::Refuse] {
        let answer = site.get(service, "X-Scope: {pass: Berlin}\r\n")?;
        ensure!(answer.status == 200 && answer.header("x-cheops-site").is_none(), "{answer:?}");
    }
    ensure!(site.system.property("NFileDescriptorStore")? == "0", "systemd keeps something");
    let listening = site.system.run(&["ss", "-Hltn"])?;
    ensure!(listening.lines().count() == 2, "somebody listens: {listening}");
    site.system.run(&["systemctl", "start", UNIT])?;
    site.ready()?;
    let answer = site.get(Service::Refuse, "X-Scope: {refuse: Berlin}\r\n")?;
    ensure!(answer.header("x-cheops-site").is_some(), "{answer:?}");
    site.one_set()?;
    tell(2, "a stop for good, and a start");
    Ok(())
}
