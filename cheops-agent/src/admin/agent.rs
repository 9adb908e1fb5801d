//! What the admin API asks: the running agent's parts.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Life;
use super::upgrade::Asked;
use crate::act::Shared;
use crate::config::Config;
use crate::kernel::session::Sessions;
use crate::membership::Membership;
use crate::metadata::{Aliases, Guard, Names, RefusedEndpoint, Snapshot, Store};
use crate::observe::{Check, Observer};
use crate::peer;

/// The running agent, as it is shown.
pub struct Agent {
    /// What the data path works with.
    pub shared: Arc<Shared>,
    pub observer: Arc<Observer>,
    pub config_path: PathBuf,
    /// The files that were read.
    pub files: Mutex<Vec<PathBuf>>,
    pub started: Instant,
    pub known: Mutex<Known>,
    pub life: Arc<Life>,
    /// This agent's copy of what sites keep together.
    pub metadata: Arc<Store>,
    /// Absent without `[peer]`.
    pub peers: Option<Peers>,
    /// This host's part in a federation. Absent without `[peer]`.
    pub membership: Option<Arc<Membership>>,
    /// Of `cheops exec`; absent when nothing is taken.
    pub sessions: Option<Arc<Sessions>>,
    /// What is loaded into the kernel, and where it is attached.
    pub kernel_facts: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Checks that need the kernel's room; run at each question.
    pub kernel_checks: Box<dyn Fn() -> Vec<Check> + Send + Sync>,
    /// Asks for a successor.
    pub upgrades: mpsc::Sender<Asked>,
    /// Ends answers that would never end by themselves.
    pub stop: CancellationToken,
}

/// What stands behind the snapshot.
#[derive(Debug)]
pub struct Known {
    pub names: Names,
    pub aliases: Aliases,
    /// What other sites announced in vain.
    pub refused: Vec<RefusedEndpoint>,
    /// What the kernel programs were told to take; nothing while they aren't attached.
    pub guarded: Vec<Guard>,
    /// When the snapshot was last made, changed or not.
    pub refreshed: Instant,
    /// The last self-probe.
    pub probe: Option<Probe>,
}

#[derive(Clone, Debug)]
pub struct Probe {
    pub at: Instant,
    /// Why nothing came back.
    pub trouble: Option<String>,
}

/// The peer room's parts.
#[derive(Clone)]
pub struct Peers {
    pub client: Arc<peer::Client>,
    pub liveness: Arc<peer::Liveness>,
    pub counters: Arc<peer::Counters>,
    /// Why this host's certificate, which is due for that, was not renewed.
    pub renewal: Arc<Mutex<Option<String>>>,
    /// Why the federation's authorities can't be taken over.
    pub authority: Arc<Mutex<Option<String>>>,
}

impl Agent {
    /// What holds now.
    pub fn config(&self) -> Arc<Config> {
        self.shared.config.load_full()
    }

    /// Sites and services as they are known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.load_full()
    }

    /// The parts behind the snapshot.
    pub fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Nothing is guarded or probed yet.
    pub fn new(names: Names, aliases: Aliases, refused: Vec<RefusedEndpoint>) -> Self {
        Self { names, aliases, refused, guarded: Vec::new(), refreshed: Instant::now(), probe: None }
    }
}
