//! The stop: the reverse of the start.
//!
//! In the foreground the guarded endpoints are let go first, and what is open is finished. Under systemd the kernel
//! programs and the listeners outlive this process, and most stops are restarts: the agent goes on accepting while what
//! is open ends, each connection with its next answer; then it holds the lease, lets new connections wait in the
//! listeners for the next agent, finishes the few that came in the meantime, and ends at once.

use std::time::{Duration, Instant};

use tokio::time::{timeout, timeout_at};

use super::capture::Capture;
use super::doors::Came;
use super::start::Started;
use super::{Signals, notify};
use crate::observe::Limit;

/// What may still take until the process ends after everything was told to.
pub const LAST: Duration = Duration::from_millis(500);

/// How long new connections may wait in the listeners for what came in before them; then they are let in again.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long the kernel programs go on taking connections without an agent: far longer than a start takes.
const HELD: Duration = Duration::from_secs(5);

/// Ends, after what is open had its time. A second signal means now.
pub async fn stop(mut started: Started, mut signals: Signals) {
    let agent = started.agent.clone();
    let drain = agent.config().timeouts.drain;
    let deadline = Instant::now() + drain;
    tracing::info!(connections = agent.observer.connections_open(), "stops");
    notify::stopping(drain + 2 * LAST);
    drain_from_now(&started, deadline);
    let finished = tokio::select! {
        finished = finish(&mut started, deadline) => finished,
        () = signals.stop() => {
            tracing::warn!("told again: the rest is cut");
            true
        }
    };
    if !finished {
        agent.observer.limit(Limit::Drain);
        tracing::warn!(left = agent.observer.connections_open(), "timeouts.drain is over; the rest is cut");
    }
    end(started).await;
}

/// Everybody sees that the agent drains; in the foreground together with the guarded endpoints' end.
fn drain_from_now(started: &Started, deadline: Instant) {
    let mut known = started.agent.known();
    started.agent.life.drain(deadline);
    started.agent.shared.closing.begin();
    if outlives(started) {
        return;
    }
    known.guarded.clear();
    if let Err(error) = started.capture.guard(&[]) {
        tracing::warn!(%error, "can't let the guarded endpoints go; they go with the process");
    }
}

/// Whether the kernel programs and the listeners outlive this process.
fn outlives(started: &Started) -> bool {
    notify::keeps() && matches!(started.capture, Capture::Ebpf(_))
}

/// Whether everything that was open ended by itself.
async fn finish(started: &mut Started, deadline: Instant) -> bool {
    if outlives(started) {
        return restart(started, deadline).await;
    }
    started.agent.shared.drain.cancel();
    let came = started.doors.close().await;
    started.doors.leave();
    ended(came, deadline).await
}

/// Between two agents: nothing that connects meanwhile is lost or passes by.
async fn restart(started: &mut Started, deadline: Instant) -> bool {
    let mut before = started.doors.close().await;
    let mut finished = true;
    loop {
        // Whoever comes now finds an agent, while those that were there end.
        started.doors.open();
        finished &= ended(before.take(), deadline).await;
        before = started.doors.close().await;
        if let Some(came) = &mut before
            && Instant::now() < deadline
            && timeout(PATIENCE, came.ended()).await.is_err()
        {
            continue;
        }
        break;
    }
    started.agent.shared.drain.cancel();
    finished &= ended(before, Instant::now() + LAST).await;
    if let Capture::Ebpf(interceptor) = &started.capture
        && let Err(error) = interceptor.hold(HELD)
    {
        tracing::error!(%error, "the lease can't be held; the restart will be noticed");
    }
    finished
}

async fn ended(came: Option<Came>, deadline: Instant) -> bool {
    let Some(mut came) = came else { return true };
    timeout_at(deadline.into(), came.ended()).await.is_ok()
}

/// Lets everything go.
async fn end(mut started: Started) {
    let agent = &started.agent;
    if let Some(peers) = &started.peers {
        // What is still open is cut; nothing is waited for.
        drop(timeout(LAST, peers.shown.client.close()).await);
    }
    started.background.shutdown().await;
    agent.metadata.release();
    agent.stop.cancel();
    drop(timeout(LAST, async { while started.admin.join_next().await.is_some() {} }).await);
    remove_socket(&agent.config().admin.socket);
}

fn remove_socket(path: &std::path::Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!(%error, "the admin socket can't be removed");
    }
}
