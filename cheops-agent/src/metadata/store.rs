//! This agent's copy of what is kept, and the writes that wait to be kept.
//!
//! Readers take a [`View`] and never wait. A write is shown at once and waits here until the backend has it. The backend
//! tells what it lists and what changes, and when it last gave a sign of life.

mod backend;
mod bounded;
mod disk;
mod facts;
mod file;
mod leave;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, watch};

use super::bounds::{Excess, Tally};
use super::cluster::Cluster;
use super::record::Millis;
use super::seal::Seal;
use super::transaction::{Outcome, Transaction, Write};
use super::truth::{Truth, TruthError};
pub use disk::{DiskError, FILE};
pub use facts::{Facts, Link, Lost};
use file::{File, aside};
pub use view::{Kept, Refusal, Seen, View};

/// How long a decision waits for a backend that isn't reached, and how often is looked.
const REACHED: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(100);

/// Everything below the federation's prefix, as a backend lists it.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    pub seen: Option<Seen>,
    /// Whole key, value, revision of its last write.
    pub values: Vec<(String, String, i64)>,
    /// Records that are too large to be taken, by their whole key.
    pub left_out: Vec<(String, Excess)>,
    /// Whether there are more than were read.
    pub more: bool,
}

/// One change that a backend tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put { full: String, value: String, revision: i64 },
    Removed { full: String },
}

/// A write that no backend has yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    pub id: u64,
    pub write: Write,
}

/// Why a write can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("metadata can't be kept on this host: {0}")]
    Disk(#[from] DiskError),
    #[error("this agent hands over to its successor: ask again")]
    HandingOver,
    #[error("this host belongs to no federation: see cheops site join")]
    NotJoined,
    #[error("this host joins or leaves its federation just now: ask again")]
    Changing,
}

/// The copy. Cheap to share.
pub struct Store {
    federation: String,
    seal: ArcSwap<Box<dyn Seal>>,
    inner: Mutex<Inner>,
    view: ArcSwap<View>,
    changed: watch::Sender<u64>,
    wanted: Notify,
    truth: Option<Box<dyn Truth>>,
    /// What the backend says of itself.
    cluster: ArcSwapOption<Cluster>,
    /// Whether there is no backend: what is written is kept.
    alone: bool,
}

#[derive(Default)]
struct Inner {
    /// What is kept, as it is kept, by its whole key.
    raw: BTreeMap<String, Raw>,
    pending: Vec<Pending>,
    next: u64,
    heard: Option<Instant>,
    /// When the backend last gave a sign of life before the last restart.
    contact: Option<Millis>,
    file: File,
    link: Link,
    lost: Option<Lost>,
    /// Whether nothing is written any more.
    hushed: bool,
    /// How much of what is kept there is.
    tally: Tally,
    /// What is there and too much, as far as it is named; and what more there was when it was listed.
    left_out: BTreeMap<String, Excess>,
    unnamed: u64,
    /// Why writes that wait are refused, by their numbers.
    denied: BTreeMap<u64, String>,
    /// How often the backend was reached anew.
    connects: u64,
}

/// A record as the backend has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Raw {
    value: String,
    revision: i64,
    /// Whether it was seen in an earlier history of the cluster, and not in the one that goes on.
    stale: bool,
}

impl Store {
    /// A copy that nothing is known in, of what a backend keeps.
    pub fn new(federation: &str, seal: Box<dyn Seal>, truth: Option<Box<dyn Truth>>) -> Self {
        Self {
            federation: federation.to_owned(),
            seal: ArcSwap::from_pointee(seal),
            inner: Mutex::default(),
            view: ArcSwap::default(),
            changed: watch::Sender::new(0),
            wanted: Notify::new(),
            truth,
            cluster: ArcSwapOption::empty(),
            alone: false,
        }
    }

    /// This site's own store: no backend is needed, and nothing is missing in it.
    pub fn embedded(federation: &str) -> Self {
        let view = View { complete: true, ..View::default() };
        Self {
            alone: true,
            view: ArcSwap::from_pointee(view),
            ..Self::new(federation, Box::new(super::seal::Unsealed), None)
        }
    }

    /// Whether no backend is needed.
    pub fn is_embedded(&self) -> bool {
        self.alone
    }

    /// What is known now.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Tells of each new view.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes a write: it is shown from now on, and kept as soon as the backend can. When this returns, it outlives this
    /// agent and a loss of power; a leased one needn't.
    ///
    /// # Errors
    /// When this host's disk doesn't take it, or it belongs to no federation; then nothing is changed.
    pub fn write(&self, write: Write) -> Result<(), StoreError> {
        let mut inner = self.inner();
        self.may_write(&inner)?;
        let id = inner.next;
        aside(|| self.save_write(&mut inner, id, &write))?;
        self.taken(inner, write);
        Ok(())
    }

    /// Takes a write that is made again after a restart: where this host's disk doesn't take it, it waits in memory. A host
    /// that belongs to no federation tells nothing. Whether it was taken.
    pub fn tell(&self, write: Write) -> bool {
        let mut inner = self.inner();
        if self.may_write(&inner).is_err() {
            return false;
        }
        let id = inner.next;
        if let Err(error) = aside(|| self.save_write(&mut inner, id, &write)) {
            tracing::debug!(%error, "a record waits in memory alone");
            inner.file.all_again();
        }
        self.taken(inner, write);
        true
    }

    fn taken(&self, mut inner: MutexGuard<'_, Inner>, write: Write) {
        let id = inner.next;
        inner.next += 1;
        let mut view = (*self.view()).clone();
        if self.alone {
            let full = write.key().full(&self.federation);
            match kept(id, &write) {
                Some(raw) => drop(inner.raw.insert(full, raw)),
                None => drop(inner.raw.remove(&full)),
            }
            match write {
                Write::Put(key, record) => drop(
                    view.records.insert(key, Kept { record, revision: Some(revision(id)), stale: false, worn: false }),
                ),
                Write::Remove(key) => drop(view.records.remove(&key)),
            }
        } else {
            inner.pending.retain(|pending| pending.write.key() != write.key());
            inner.pending.push(Pending { id, write });
            overlay(&mut view, &inner.pending);
        }
        self.show(view);
        drop(inner);
        self.wanted.notify_one();
    }

    /// Decides what needs one truth among sites.
    ///
    /// # Errors
    /// Where there is none, or it can't be asked.
    pub async fn transact(&self, transaction: Transaction) -> Result<Outcome, TruthError> {
        let Some(truth) = &self.truth else { return Err(TruthError::Embedded) };
        let end = tokio::time::Instant::now() + REACHED;
        let mut changes = self.changes();
        loop {
            let outcome = truth.transact(self, transaction.clone()).await;
            if !matches!(outcome, Err(TruthError::Unreachable(_))) || tokio::time::Instant::now() >= end {
                return outcome;
            }
            // An agent that has just started, or has just lost a member, is on its way to another one.
            drop(tokio::time::timeout(LOOK, changes.changed()).await);
        }
    }

    /// When the backend last gave a sign of life.
    pub fn heard(&self) -> Option<Instant> {
        self.inner().heard
    }

    /// The cluster as it was listed last; none without one, or before that.
    pub fn cluster(&self) -> Option<Arc<Cluster>> {
        self.cluster.load_full()
    }

    /// From now on signs and checks with this; what is known is checked again.
    pub fn replace_seal(&self, seal: Box<dyn Seal>) {
        self.seal.store(Arc::new(seal));
        self.recheck();
    }

    /// Checks all that is known again: who is believed may have changed.
    pub fn recheck(&self) {
        let inner = self.inner();
        let before = self.view();
        self.show(self.read(&inner, View { complete: before.complete, seen: before.seen, ..View::default() }));
    }

    /// The view with everything that is kept, and what waits on top.
    fn read(&self, inner: &Inner, mut view: View) -> View {
        for (full, raw) in &inner.raw {
            self.take(&mut view, full, raw);
        }
        let left_out = inner.left_out.iter().map(|(full, excess)| (full.clone(), Refusal::from(*excess)));
        view.refused.extend(left_out);
        overlay(&mut view, &inner.pending);
        view
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called with the lock held: views never go back.
    fn show(&self, view: View) {
        self.view.store(Arc::new(view));
        self.changed.send_modify(|changes| *changes += 1);
    }
}

/// What is kept of a write where there is no backend; nothing of a removal.
fn kept(id: u64, write: &Write) -> Option<Raw> {
    match write {
        Write::Put(_, record) => Some(Raw { value: record.encode(), revision: revision(id), stale: false }),
        Write::Remove(_) => None,
    }
}

/// Without a backend, the number of a write is its revision.
fn revision(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

/// What waits to be kept counts already.
fn overlay(view: &mut View, pending: &[Pending]) {
    for Pending { write, .. } in pending {
        match write {
            Write::Put(key, record) => {
                view.records
                    .insert(key.clone(), Kept { record: record.clone(), revision: None, stale: false, worn: false });
            }
            Write::Remove(key) => drop(view.records.remove(key)),
        }
    }
}
