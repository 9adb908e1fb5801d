//! The loads: what is sent, and what is counted.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::client::Found;
use crate::figure::{Figure, Sample};
use crate::measure::Meter;
use crate::program;
use crate::sites::{CONNECTIONS, Sites};
use crate::system::System;
use crate::wrk::Wrk;

/// Connections that stay idle, where a process may have two descriptors for each.
const IDLE: u32 = 10_000;
/// Requests before idle connections are opened.
const WARM: u32 = 20;
/// New connections a round.
const FRESH: u32 = 500;
/// Bytes of an upload.
const UPLOAD: u64 = 1 << 30;
/// Bytes of a large answer.
const LARGE: u64 = 1 << 20;
/// Bytes of an ordinary answer's body, at least.
const SMALL: u64 = 100;

/// What is said of scoped requests: agents are measured as they are installed.
const BOTH: &str = "RSS and CPU of both proxies; the agents write a line of log for each request, the others none";

const MIB: f64 = 1_048_576.0;

/// The distant site of scoped requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Paris,
    Potsdam,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Paris => "Paris",
            Self::Potsdam => "Potsdam",
        }
    }
}

/// One load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    Unscoped(u32),
    Connections,
    Large,
    Upload,
    Idle,
    Scoped(Peer, u32),
}

impl Load {
    /// What the targets call it.
    pub fn name(self) -> String {
        match self {
            Self::Unscoped(connections) => format!("unscoped-{connections}"),
            Self::Connections => "connections".into(),
            Self::Large => "large".into(),
            Self::Upload => "upload".into(),
            Self::Idle => "idle".into(),
            Self::Scoped(peer, connections) => format!("scoped-{}-{connections}", peer.name()),
        }
    }

    pub fn title(self) -> String {
        match self {
            Self::Unscoped(connections) => {
                format!("Without a scope, {connections} connection(s); costs are a request's")
            }
            Self::Connections => format!("A new connection for each request, {FRESH} a round; costs are a request's"),
            Self::Large => "Answers of 1 MiB, 4 connections; costs are a MiB's".into(),
            Self::Upload => "An upload of 1 GiB, one stream; costs are a MiB's".into(),
            Self::Idle => idle_title(idle_connections()),
            Self::Scoped(Peer::Paris, connections) => {
                format!("Served by a site 20 ms away, {connections} connection(s); {BOTH}")
            }
            Self::Scoped(Peer::Potsdam, connections) => {
                format!("Served by a site next door, {connections} connection(s); {BOTH}")
            }
        }
    }

    /// Whether this load says anything of that system.
    pub fn suits(self, system: System) -> bool {
        match self {
            Self::Idle => system != System::Direct,
            Self::Scoped(..) => matches!(system, System::Direct | System::Agent | System::Haproxy),
            _ => true,
        }
    }

    /// Measures a system once.
    pub fn run(self, sites: &mut Sites, system: System, seconds: u32) -> anyhow::Result<Sample> {
        let before = if system == System::Agent && self != Self::Idle { Some(self.taken(sites)?) } else { None };
        let (requests, sample) = match self {
            Self::Unscoped(connections) => self.wrk(sites, system, connections, seconds)?,
            Self::Scoped(_, connections) => self.wrk(sites, system, connections, seconds)?,
            Self::Large => self.wrk(sites, system, 4, seconds)?,
            Self::Connections => fresh(sites, system)?,
            Self::Upload => upload(sites, system)?,
            Self::Idle => idle(sites, system)?,
        };
        for (site, before) in before.into_iter().flatten() {
            sites.check_taken(site, before, requests)?;
        }
        Ok(sample)
    }

    /// What the agents have taken that this load's requests go through.
    fn taken(self, sites: &Sites) -> anyhow::Result<Vec<(&'static str, u64)>> {
        let other = if let Self::Scoped(peer, _) = self { Some(peer.name()) } else { None };
        ["Berlin"].into_iter().chain(other).map(|site| Ok((site, sites.taken(site)?))).collect()
    }

    fn wrk(self, sites: &Sites, system: System, connections: u32, seconds: u32) -> anyhow::Result<(u64, Sample)> {
        let host = sites.client(system)?;
        let wrk = Wrk::new(&host, sites.folder.path(), seconds)?;
        let mut proxies = vec!["Berlin"];
        let mut at = host.at(system.port());
        let mut scope = None;
        if let Self::Scoped(peer, _) = self {
            proxies.push(peer.name());
            if system == System::Direct {
                at = sites.plain(peer.name())?.at(system.port());
            } else {
                scope = Some(format!("{{Web: {}}}", peer.name()));
            }
        }
        let path = if self == Self::Large { "/large" } else { "/v1/servers" };
        let url = format!("http://{at}{path}");
        let mut requests = 0;
        let meter = Meter::new(sites.processes(system, &proxies), &sites.cgroup());
        let sample = meter.measure(|| {
            let ran = wrk.run(&url, connections, scope.as_deref())?;
            requests = ran.requests;
            if self != Self::Large {
                ran.check_bodies(SMALL)?;
                return Ok((ran.requests as f64, ran.sample()));
            }
            ran.check_bodies(LARGE)?;
            let mib = ran.bytes as f64 / MIB;
            let rate = mib * 1e6 / ran.micros.max(1) as f64;
            Ok((mib, Sample::from([(Figure::Mib, rate)])))
        })?;
        Ok((requests, sample))
    }
}

fn fresh(sites: &Sites, system: System) -> anyhow::Result<(u64, Sample)> {
    let sample = meter(sites, system).measure(|| {
        let to = sites.client(system)?.at(system.port());
        let found = found(client(sites, system)?.args(["fresh", &to.to_string(), &FRESH.to_string()]))?;
        Ok((f64::from(FRESH), Sample::from([(Figure::P50, found.p50), (Figure::P99, found.p99)])))
    })?;
    Ok((u64::from(FRESH), sample))
}

fn upload(sites: &Sites, system: System) -> anyhow::Result<(u64, Sample)> {
    let sample = meter(sites, system).measure(|| {
        let to = sites.client(system)?.at(system.upload_port());
        let found = found(client(sites, system)?.args(["upload", &to.to_string(), &UPLOAD.to_string()]))?;
        let mib = UPLOAD as f64 / MIB;
        Ok((mib, Sample::from([(Figure::Mib, mib * 1e6 / found.micros.max(1) as f64)])))
    })?;
    Ok((1, sample))
}

/// As many as asked for, or as the machine's limit of descriptors has room for.
fn idle_connections() -> u32 {
    let room = program::descriptors().unwrap_or(1024).saturating_sub(1000) / 2;
    u32::try_from(room).map_or(IDLE, |room| room.min(IDLE))
}

fn idle_title(count: u32) -> String {
    let fewer = match count {
        IDLE => String::new(),
        _ => format!(" (of {IDLE}: this machine's limit of descriptors has no room for more)"),
    };
    format!("{count} idle connections{fewer} after a request each, to a proxy just started")
}

/// With a new process: what one has grown to before would hide what connections cost. Nor is anything else measured with
/// the one that had them.
fn idle(sites: &mut Sites, system: System) -> anyhow::Result<(u64, Sample)> {
    sites.renew(system, 32768)?;
    let measured = idle_at(sites, system, idle_connections());
    sites.renew(system, CONNECTIONS)?;
    measured
}

fn idle_at(sites: &Sites, system: System, count: u32) -> anyhow::Result<(u64, Sample)> {
    let taken = if system == System::Agent { Some(sites.taken("Berlin")?) } else { None };
    let to = sites.client(system)?.at(system.port());
    // What is made at the first requests isn't a connection's.
    found(client(sites, system)?.args(["fresh", &to.to_string(), &WARM.to_string()]))?;
    let meter = meter(sites, system);
    let before = meter.memory("VmRSS:")?;
    let mut child = client(sites, system)?
        .args(["idle", &to.to_string(), &count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let opened = lines.next().transpose()?;
    // Buffers are given back after the last answer, not at once.
    std::thread::sleep(Duration::from_secs(2));
    let after = meter.memory("VmRSS:");
    drop(child.stdin.take());
    let stayed = lines.next().transpose()?;
    let status = child.wait()?;
    if opened.as_deref() != Some("open") || stayed.as_deref() != Some("stayed") || !status.success() {
        bail!("{}: {count} connections didn't stay open: {status}", system.name());
    }
    if let Some(taken) = taken {
        sites.check_taken("Berlin", taken, u64::from(count + WARM))?;
    }
    let after = after?;
    let each = (after - before) * 1024.0 / f64::from(count);
    let sample = Sample::from([
        (Figure::RssBefore, before / 1024.0),
        (Figure::Rss, after / 1024.0),
        (Figure::PerConnection, each),
    ]);
    Ok((u64::from(count), sample))
}

fn meter(sites: &Sites, system: System) -> Meter {
    Meter::new(sites.processes(system, &["Berlin"]), &sites.cgroup())
}

/// This program as a client of its own.
fn client(sites: &Sites, system: System) -> anyhow::Result<Command> {
    Ok(sites.client(system)?.command(std::env::current_exe()?))
}

fn found(command: &mut Command) -> anyhow::Result<Found> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("the client: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_idle_connections_than_were_asked_for_are_said() {
        assert_eq!(idle_title(IDLE), "10000 idle connections after a request each, to a proxy just started");
        assert!(idle_title(9500).starts_with("9500 idle connections (of 10000: "), "{}", idle_title(9500));
    }
}
