//! The same exchanges straight and by each way through an agent; what both ends got is compared byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use cheops_tests::lab::script::Got;
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
