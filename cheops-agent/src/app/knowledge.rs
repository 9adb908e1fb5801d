//! Keeps the snapshot, and what the kernel programs guard, up to date.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::capture::Capture;
use super::metadata;
use crate::admin::{Agent, Phase};
use crate::metadata::{Aliases, Guard, Merged, Names, Snapshot, guards, merge, names};

/// How soon an alias that didn't accept is dialled again; doubled up to [`names::EVERY`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// How long one alias may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Renews what is known; one renewal at a time.
pub struct Knowledge {
    agent: Arc<Agent>,
    capture: Capture,
    turn: Mutex<()>,
}

impl Knowledge {
    pub fn new(agent: Arc<Agent>, capture: Capture) -> Self {
        Self { agent, capture, turn: Mutex::default() }
    }

    /// Resolves names again, makes the snapshot anew, dials aliases, and guards what came out.
    pub async fn renew(&self) {
        let _turn = self.turn.lock().await;
        let (config, view) = (self.agent.config(), self.agent.metadata.view());
        let mut names = self.agent.known().names.clone();
        names.refresh(&config, &view).await;
        self.agent.known().refreshed = Instant::now();
        self.hold(&merge(&config, &names, &view, &metadata::addresses()), names);
        self.dial_aliases().await;
        self.guard();
    }

    /// Makes the snapshot anew from what other sites told; names that are known are not asked for again.
    async fn learn(&self) {
        let _turn = self.turn.lock().await;
        let (config, view) = (self.agent.config(), self.agent.metadata.view());
        let mut names = self.agent.known().names.clone();
        names.complete(&config, &view).await;
        if self.hold(&merge(&config, &names, &view, &metadata::addresses()), names) {
            self.dial_aliases().await;
            self.guard();
        }
    }

    /// From now on this is known. Whether it is something else than before.
    fn hold(&self, merged: &Merged, names: Names) -> bool {
        let Merged { snapshot, refused } = merged;
        {
            let mut known = self.agent.known();
            known.names = names;
            for new in refused.iter().filter(|refused| !known.refused.contains(refused)) {
                tracing::warn!(site = %new.site, what = new.what, why = %new.why, "what a site announces is refused");
            }
            known.refused.clone_from(refused);
        }
        if *self.agent.snapshot() == *snapshot {
            return false;
        }
        tracing::info!(sites = snapshot.sites.len(), services = snapshot.services.len(), "sites and services changed");
        self.agent.shared.snapshot.store(Arc::new(snapshot.clone()));
        true
    }

    /// Tells the kernel programs what to take, when that changed.
    pub fn guard(&self) {
        let snapshot = self.agent.snapshot();
        let mut known = self.agent.known();
        // Asked under the lock under which the stop lets everything go.
        if matches!(self.capture, Capture::Off) || self.agent.life.phase() != Phase::Running {
            return;
        }
        let wanted = guards(&snapshot, &known.aliases);
        if known.guarded == wanted {
            return;
        }
        match self.capture.guard(&wanted) {
            Ok(()) => {
                tracing::info!(endpoints = wanted.len(), "guarded endpoints changed");
                known.guarded = wanted;
            }
            Err(error) => tracing::error!(%error, "the kernel programs can't guard every endpoint"),
        }
    }

    /// Dials every alias that never accepted.
    async fn dial_aliases(&self) {
        let pending = {
            let snapshot = self.agent.snapshot();
            self.agent.known().aliases.pending(&snapshot)
        };
        let outcomes = futures_util::future::join_all(pending.into_iter().map(dial)).await;
        let mut known = self.agent.known();
        for (address, outcome) in outcomes {
            known.aliases.dialled(address, outcome);
        }
    }

    /// Learns what other sites tell, for ever.
    pub async fn follow(self: Arc<Self>) {
        /// Changes that come close together are learned together.
        const PAUSE: Duration = Duration::from_millis(100);
        let mut changes = self.agent.metadata.changes();
        changes.mark_changed();
        while changes.changed().await.is_ok() {
            self.learn().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Renews each minute for ever, and sooner while aliases don't accept.
    pub async fn keep(self: Arc<Self>) {
        let mut retry = FIRST_RETRY;
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(retry.min(names::EVERY)).await;
            retry = retry.saturating_mul(2);
            if renewed.elapsed() >= names::EVERY {
                renewed = Instant::now();
                self.renew().await;
            } else {
                let _turn = self.turn.lock().await;
                self.dial_aliases().await;
                self.guard();
            }
        }
    }
}

/// What is known of aliases at the start: those that an earlier agent guarded did accept once, the others are dialled.
pub async fn aliases(snapshot: &Snapshot, guarded_before: &[Guard]) -> Aliases {
    let mut aliases = Aliases::default();
    guarded_before.iter().for_each(|guard| aliases.dialled(guard.address, Ok(())));
    let outcomes = futures_util::future::join_all(aliases.pending(snapshot).into_iter().map(dial)).await;
    outcomes.into_iter().for_each(|(address, outcome)| aliases.dialled(address, outcome));
    aliases
}

/// Nothing is sent: that it accepts is all that is asked. An unguarded address is not taken, so this can't loop.
async fn dial(address: SocketAddr) -> (SocketAddr, Result<(), String>) {
    let outcome = match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer for {} s", PATIENCE.as_secs())),
    };
    (address, outcome)
}
