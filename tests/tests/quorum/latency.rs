//! How long requests take, with and without a quorum.

use std::time::{Duration, Instant};

use cheops_tests::lab::{Client, EtcdCluster, Federation, tell};

use super::{add_service, metadata, three, until_service, until_up, until_whole};

/// Scoped requests in a window, and requests without a scope for each of them.
const REQUESTS: usize = 100;
const UNSCOPED: usize = 8;
/// Windows with a quorum, each followed by one without.
const WINDOWS: usize = 4;
/// How many times longer requests may take.
const MOST: f64 = 1.2;
/// Measurements, of which one has to hold: another program may have disturbed the others, a slow agent disturbs all.
const TRIES: usize = 3;

/// How long requests took, without and with a scope.
#[derive(Default)]
struct Times([Vec<Duration>; 2]);

impl Times {
    /// The time that so many of a hundred requests of one kind took at most.
    fn percentile(&self, kind: usize, percent: usize) -> Duration {
        let mut all = self.0[kind].clone();
        all.sort_unstable();
        all[(all.len() * percent / 100).min(all.len() - 1)]
    }
}

struct Connections {
    own: Client,
    other: Client,
    requests: [String; 2],
}

impl Connections {
    fn open(federation: &Federation) -> anyhow::Result<Self> {
        let host = federation.address("Berlin", "app");
        let plain = format!("GET /echo/1 HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let scoped = format!("GET /echo/1 HTTP/1.1\r\nHost: {host}\r\nX-Scope: {{app: Paris}}\r\n\r\n");
        let connect = || federation.connect("Berlin", "app");
        Ok(Self { own: connect()?, other: connect()?, requests: [plain, scoped] })
    }

    /// Unscoped and scoped requests in turns; none may fail.
    fn window(&mut self, times: &mut Times) -> anyhow::Result<()> {
        for number in 0..REQUESTS * (UNSCOPED + 1) {
            let kind = usize::from(number % (UNSCOPED + 1) == 0);
            let client = if kind == 0 { &mut self.own } else { &mut self.other };
            let begin = Instant::now();
            let answer = client.exchange(&self.requests[kind])?;
            times.0[kind].push(begin.elapsed());
            anyhow::ensure!(answer.status == 200, "no request may fail: {answer:?}");
        }
        Ok(())
    }
}

/// The members of Paris and Nantes stand still, or go on. Berlin's agent is at its own member, which then has no leader.
fn quorum(federation: &Federation, there: bool) -> anyhow::Result<()> {
    for site in ["Paris", "Nantes"] {
        let member = federation.etcd().member(site);
        if there { member.sigcont()? } else { member.sigstop()? }
    }
    until_up(federation, "Berlin", there);
    Ok(())
}

/// Windows with and without a quorum in turns, so that what else the machine does meets both; the ratio of the p99s.
fn measure(federation: &Federation) -> anyhow::Result<f64> {
    let mut connections = Connections::open(federation)?;
    connections.window(&mut Times::default())?;
    let (mut before, mut during, mut after) = (Times::default(), Times::default(), Times::default());
    for _ in 0..WINDOWS {
        connections.window(&mut before)?;
        quorum(federation, false)?;
        connections.window(&mut during)?;
        anyhow::ensure!(metadata(federation, "Berlin")["up"] == false, "there was no quorum in this window");
        quorum(federation, true)?;
    }
    connections.window(&mut after)?;
    let mut worst = 0.0_f64;
    for (kind, name) in ["unscoped", "scoped"].into_iter().enumerate() {
        let ratio = |percent| {
            let [before, during] = [&before, &during].map(|times| times.percentile(kind, percent).as_secs_f64());
            during / before
        };
        for percent in [50, 99] {
            let [before, during, after] = [&before, &during, &after].map(|times| times.percentile(kind, percent));
            tell(
                "quorum",
                &format!(
                    "{name} p{percent}: {before:?} before, {during:?} without a quorum, {after:?} after; during / before {:.2}",
                    ratio(percent)
                ),
            );
        }
        tell("quorum", &format!("{name}: {} requests before, {} during", before.0[kind].len(), during.0[kind].len()));
        worst = worst.max(ratio(99));
    }
    Ok(worst)
}

#[test]
fn requests_take_as_long_without_a_quorum() -> anyhow::Result<()> {
    let mut federation = three(EtcdCluster::today())?;
    let mut ratios = Vec::new();
    for _ in 0..TRIES {
        ratios.push(measure(&federation)?);
        if ratios.last().is_some_and(|ratio| *ratio <= MOST) {
            break;
        }
    }
    assert!(ratios.iter().any(|ratio| *ratio <= MOST), "p99 during / before: {ratios:.2?}");

    // What is written meanwhile waits, and is there afterwards.
    quorum(&federation, false)?;
    add_service(&mut federation, "Berlin", "meanwhile")?;
    super::until("it waits", &federation, "Berlin", |said| said["pending"].as_u64() > Some(0));
    quorum(&federation, true)?;
    until_service(&federation, "Nantes", "meanwhile");
    until_whole(&federation);
    Ok(())
}
