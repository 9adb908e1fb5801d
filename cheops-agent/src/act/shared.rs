//! What every connection of the data path shares.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::admission::Admission;
use super::closing::Closing;
use super::ids;
use super::parked::Parked;
use super::tokens::Tokens;
use crate::accept::Origins;
use crate::config::Config;
use crate::kernel::session::Scopes;
use crate::metadata::Snapshot;
use crate::observe::Observer;
use crate::peer;
use crate::profile::Profiles;
use crate::workflow::Workflows;

/// Everything that serving a request may look at. What changes while the agent runs is swapped whole.
pub struct Shared {
    pub config: ArcSwap<Config>,
    pub snapshot: ArcSwap<Snapshot>,
    pub profiles: ArcSwap<Profiles>,
    /// Other sites' agents; `None` without a `[peer]` section.
    pub peers: Option<Arc<peer::Client>>,
    pub liveness: Arc<peer::Liveness>,
    pub origins: Arc<dyn Origins>,
    pub observer: Arc<Observer>,
    /// Of `cheops exec`.
    pub sessions: Arc<Scopes>,
    /// The ids by which calls are linked to the scoped request that caused them.
    pub workflows: Arc<Workflows>,
    /// For which ids the site's other agents were asked.
    pub asked: ids::Memory,
    /// Whose credentials are believed, and where each was issued.
    pub tokens: Arc<Tokens>,
    pub admission: Admission,
    /// Services' connections of other sites' clients, between two requests.
    pub parked: Parked,
    /// Where this agent itself listens: never dialled.
    pub own: ArcSwap<Vec<SocketAddr>>,
    /// `SO_MARK` of the agent's own connections; `None` where the kernel programs don't run.
    pub mark: Option<u32>,
    /// Once begun, a connection ends at its next answer.
    pub closing: Closing,
    /// Once cancelled, an idle connection ends at its next request boundary.
    pub drain: CancellationToken,
    pub pace: Pace,
}

impl Shared {
    /// Without peers and without a mark; the start of the agent sets what there is of them.
    pub fn new(
        mut config: Config,
        snapshot: Snapshot,
        profiles: Profiles,
        origins: Arc<dyn Origins>,
        observer: Arc<Observer>,
    ) -> Self {
        config.scope.tokens = profiles.scope_headers();
        Self {
            config: ArcSwap::from_pointee(config),
            snapshot: ArcSwap::from_pointee(snapshot),
            profiles: ArcSwap::from_pointee(profiles),
            peers: None,
            liveness: peer::Liveness::new(),
            origins,
            observer,
            sessions: Arc::default(),
            workflows: Arc::default(),
            asked: ids::Memory::default(),
            tokens: Arc::default(),
            admission: Admission::default(),
            parked: Parked::default(),
            own: ArcSwap::default(),
            mark: None,
            closing: Closing::default(),
            drain: CancellationToken::new(),
            pace: Pace::default(),
        }
    }
}

/// Waits that are no matter of taste, but that tests shorten.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long bytes that may still become HTTP, but don't look like it, are waited with.
    pub still: Duration,
    /// How long the other end has for its close.
    pub linger: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { still: Duration::from_secs(1), linger: Duration::from_secs(5) }
    }
}
