//! The same exchanges straight and by each way through an agent; what both ends got is compared byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use cheops_tests::lab::script::Got;
use cheops_tests::lab::tell;
use cheops_tests::lab::ways::{Direct, From, InProcess, Lab, Way, report, run};

use crate::cases::{self, Case};

/// Cases that run at once.
const AT_ONCE: usize = 12;

/// What the client and the service got.
type Seen = anyhow::Result<(Got, Got)>;

/// Every case by this way, in the cases' order.
fn play_all(way: &dyn Way, cases: &[Case]) -> Vec<Seen> {
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(at) else { return };
            let one = run(way, &case.client, &case.service).with_context(|| case.name.clone());
            seen.lock().unwrap_or_else(PoisonError::into_inner).insert(at, one);
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    seen.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// Every case looks the same straight and by this way.
fn transparent(way: &dyn Way) -> anyhow::Result<()> {
    let cases = cases::all();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    anyhow::ensure!(names.len() == cases.len(), "two cases have the same name");
    anyhow::ensure!(cases.len() >= 200, "only {} cases", cases.len());
    let straight = play_all(&Direct::new()?, &cases).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let before = way.taken()?;
    let through = play_all(way, &cases);
    let taken = way.taken()? - before;
    let mut failures = Vec::new();
    for ((case, straight), through) in cases.iter().zip(straight).zip(through) {
        match through {
            Ok(through) if through == straight => {}
            Ok(through) => failures.push(format!("{}:\n  straight {straight:?}\n  through  {through:?}", case.name)),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    anyhow::ensure!(taken >= cases.len() as u64, "only {taken} connections went through the agent");
    report("cases", cases.len(), &failures)
}

#[test]
fn in_this_process_everything_looks_as_without_the_agent() -> anyhow::Result<()> {
    transparent(&InProcess::new()?)
}

#[test]
fn connections_that_leave_look_as_without_the_agent() -> anyhow::Result<()> {
    transparent(&Lab::new(From::Here)?)
}

#[test]
fn connections_that_arrive_look_as_without_the_agent() -> anyhow::Result<()> {
    transparent(&Lab::new(From::Elsewhere)?)
}

/// A service that closes just as the next request comes: the client sees the end, as it would without an agent, and no
/// answer is made up for it.
#[test]
fn a_close_that_meets_a_request_is_a_close() -> anyhow::Result<()> {
    const TIMES: usize = 300;
    let way = InProcess::new()?;
    for time in 0..TIMES {
        let (mut client, mut service) = way.open()?;
        for end in [&client, &service] {
            end.set_nodelay(true)?;
            end.set_read_timeout(Some(Duration::from_secs(10)))?;
        }
        client.write_all(cases::GET.as_bytes())?;
        service.read_exact(&mut [0; cases::GET.len()])?;
        service.write_all(cases::OK.as_bytes())?;
        client.read_exact(&mut [0; cases::OK.len()])?;
        // The close is at each time a little earlier or later.
        let closing = std::thread::spawn(move || {
            (0..time * 50).for_each(|_| std::hint::spin_loop());
            drop(service);
        });
        // It may be told so already.
        drop(client.write_all(cases::GET.as_bytes()));
        let mut seen = Vec::new();
        let read = client.read_to_end(&mut seen);
        let ended = read.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::ConnectionReset);
        anyhow::ensure!(seen.is_empty() && ended, "{read:?} {}", String::from_utf8_lossy(&seen));
        anyhow::ensure!(closing.join().is_ok(), "the service's thread");
    }
    tell("transparency", &format!("{TIMES} cases: closes that meet a request"));
    Ok(())
}

/// A service that speaks first is heard at once: nobody waits until it is clear that the client says nothing.
#[test]
fn a_greeting_comes_at_once() -> anyhow::Result<()> {
    const GREETING: &[u8] = b"220 ready\r\n";
    const TRIES: usize = 10;
    for from in [From::Here, From::Elsewhere] {
        let way = Lab::new(from)?;
        let greeted = || -> anyhow::Result<Duration> {
            let (mut client, mut service) = way.open()?;
            client.set_read_timeout(Some(Duration::from_secs(10)))?;
            let begin = Instant::now();
            service.write_all(GREETING)?;
            let mut seen = [0; GREETING.len()];
            client.read_exact(&mut seen)?;
            anyhow::ensure!(seen == GREETING);
            Ok(begin.elapsed())
        };
        let took = (0..TRIES).map(|_| greeted()).collect::<anyhow::Result<Vec<_>>>()?;
        // What a busy machine adds isn't there each time. A silent client is decided about after a second.
        anyhow::ensure!(took.iter().min() < Some(&Duration::from_millis(500)), "{from:?}: {took:?}");
    }
    tell("transparency", &format!("{} cases: greetings", 2 * TRIES));
    Ok(())
}
