//! The metadata cluster itself: who its members are. Told by the backend, where there is one.

use std::time::Duration;

/// The cluster as the backend listed it last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Those that vote.
    pub members: Vec<Member>,
    /// The leader's name, where somebody says it.
    pub leader: Option<String>,
}

/// A member that votes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// Where clients and other members reach it.
    pub urls: Vec<String>,
    /// Whether it answered; `None` where it wasn't asked.
    pub up: Option<bool>,
    /// Its timers, where it tells them.
    pub timers: Option<Timers>,
}

/// How soon members miss their leader. etcd's own: 100 ms and 1 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    pub heartbeat: Duration,
    pub election: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self { heartbeat: Duration::from_millis(100), election: Duration::from_secs(1) }
    }
}
