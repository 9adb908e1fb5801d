//! Live requests for whoever watches. Bounded: a slow watcher loses events and is told how many.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::RequestEvent;

/// Events that a watcher may lag behind.
pub const TAP_DEPTH: usize = 1024;

/// One thing that a watcher sees.
#[derive(Clone, Debug)]
pub enum Tapped {
    Request(Arc<RequestEvent>),
    /// The watcher was too slow, and missed this many requests.
    Lost(u64),
}

/// A watcher of live requests. While one exists, unscoped requests become events too.
#[derive(Debug)]
pub struct Tap {
    receiver: broadcast::Receiver<Arc<RequestEvent>>,
}

impl Tap {
    pub(super) fn new(receiver: broadcast::Receiver<Arc<RequestEvent>>) -> Self {
        Self { receiver }
    }

    /// The next event; nothing once the agent stops.
    pub async fn next(&mut self) -> Option<Tapped> {
        match self.receiver.recv().await {
            Ok(event) => Some(Tapped::Request(event)),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Tapped::Lost(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
