//! Notices the ends of sessions.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use inotify::EventStream;
use tokio_util::sync::CancellationToken;

use super::Sessions;

/// What the kernel didn't tell is noticed after this long.
const ROUND: Duration = Duration::from_secs(10);

/// Room for some events; which session they are about doesn't matter, since all are looked at.
type Changes = EventStream<[u8; 4096]>;

impl Sessions {
    /// Ends sessions as their processes end, until `stop`. To be run once.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.changes();
        let mut round = tokio::time::interval(ROUND);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = next(&mut changes) => {}
                _ = round.tick() => {}
            }
            let sessions = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || sessions.sweep()).await
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }

    fn changes(&self) -> Option<Changes> {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let changes = source.into_event_stream([0; 4096]);
        changes.inspect_err(|error| tracing::warn!(%error, "sessions' ends will be noticed late")).ok()
    }
}

/// Returns when some session's group became empty or lively; never without a source of changes.
async fn next(changes: &mut Option<Changes>) {
    match changes {
        Some(stream) => match stream.next().await {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => *changes = None,
        },
        None => std::future::pending().await,
    }
}
