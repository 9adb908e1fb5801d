//! The agent is restarted again and again by its systemd, under load, and nobody notices: clients that never try anything
//! twice, and services that count.

use std::time::Instant;

use anyhow::ensure;
use cheops_tests::lab::load::site::{Site, UNIT, once, unharmed};
use cheops_tests::lab::tell;

/// No line for each scoped request.
const CONFIGURATION: &str = "[timeouts]\ndrain = '5s'\n[log]\nlevel = 'warn'\n";

/// Restarts; and requests that must be made meanwhile.
const RESTARTS: usize = 100;
const REQUESTS: u64 = 100_000;

#[test]
fn a_hundred_restarts_lose_no_request_and_let_none_by() -> anyhow::Result<()> {
    let mut site = Site::new(CONFIGURATION, "[Service]\nWatchdogSec=10s\n")?;
    let listeners = site.listeners()?;
    let mut crowd = site.crowd(0)?;
    crowd.goes_on(200)?;
    let descriptors = site.descriptors()?;
    let mut took = Vec::new();
    for number in 1..=RESTARTS {
        let (begin, before) = (Instant::now(), site.pid()?);
        site.system.run(&["systemctl", "restart", UNIT])?;
        took.push(begin.elapsed());
        ensure!(site.pid()? != before, "it is the same process");
        crowd.reaches(number as u64 * REQUESTS / RESTARTS as u64)?;
    }
    let fared = crowd.finish()?;
    let requests = unharmed(&fared)?;
    once(&site.counted()?, requests)?;
    ensure!(requests >= REQUESTS, "only {requests} requests");
    site.one_set()?;
    ensure!(site.listeners()? == listeners, "{:?} instead of {listeners:?}", site.listeners()?);
    let after = site.descriptors()?;
    ensure!(after <= descriptors + 5, "{descriptors} descriptors before and {after} after");
    took.sort_unstable();
    let slowest = fared.iter().map(|(_, fared)| fared.slowest).max().unwrap_or_default();
    tell(
        "restart",
        &format!(
            "{RESTARTS} cases: restarts with {requests} requests, 0 failed, 0 passed by; a restart takes {:?} ({:?} at most), \
        the slowest request {slowest} ms",
            took[took.len() / 2],
            took[took.len() - 1],
        ),
    );
    Ok(())
}
