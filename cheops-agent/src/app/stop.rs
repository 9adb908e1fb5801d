//! The stop: the reverse of the start.

use std::time::{Duration, Instant};

use super::start::Started;
use super::{Signals, notify};
use crate::observe::Limit;

/// What may still take until the process ends after everything was told to.
pub const LAST: Duration = Duration::from_millis(500);

/// Stops taking connections, lets exchanges end in time, and ends. A second signal means now.
pub async fn stop(mut started: Started, mut signals: Signals) {
    let agent = started.agent.clone();
    let drain = agent.config().timeouts.drain;
    let deadline = Instant::now() + drain;
    tracing::info!(connections = agent.observer.connections_open(), "stops");
    notify::stopping(drain + LAST);
    agent.life.drain(deadline);
    {
        let mut known = agent.known();
        known.guarded.clear();
        if let Err(error) = started.capture.guard(&[]) {
            tracing::warn!(%error, "can't let the guarded endpoints go; they go with the process");
        }
    }
    agent.shared.drain.cancel();
    let came = started.doors.close().await;
    started.doors.leave();

    let exchanges = async {
        if let Some(mut came) = came {
            came.ended().await;
        }
    };
    tokio::select! {
        () = exchanges => tracing::info!("every exchange has ended"),
        () = tokio::time::sleep_until(deadline.into()) => {
            agent.observer.limit(Limit::Drain);
            tracing::warn!(left = agent.observer.connections_open(), "timeouts.drain is over; the rest is cut");
        }
        () = signals.stop() => tracing::warn!("told again: the rest is cut"),
    }
    if let Some(peers) = &started.peers {
        // What is still open is cut; nothing is waited for.
        drop(tokio::time::timeout(LAST, peers.shown.client.close()).await);
    }
    started.background.shutdown().await;
    agent.stop.cancel();
    drop(tokio::time::timeout(LAST, async { while started.admin.join_next().await.is_some() {} }).await);
    remove_socket(&agent.config().admin.socket);
}

fn remove_socket(path: &std::path::Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!(%error, "the admin socket can't be removed");
    }
}
