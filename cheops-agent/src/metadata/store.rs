//! This agent's copy of what is kept, and the writes that wait to be kept.
//!
//! Readers take a [`View`] and never wait. A write is shown at once and waits here until the backend has it. The backend
//! tells what it lists and what changes, and when it last gave a sign of life.

mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, watch};

use super::cluster::Cluster;
use super::key::Key;
use super::record::Record;
use super::seal::{Seal, SealError};
use super::truth::{Outcome, Transaction, Truth, TruthError, Write};
pub use view::{Kept, Refusal, Seen, View};

/// Everything below the federation's prefix, as a backend lists it.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    pub seen: Option<Seen>,
    /// Whole key, value, revision of its last write.
    pub values: Vec<(String, String, i64)>,
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
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("can't keep metadata on this host: {0}")]
    Disk(String),
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
}

/// A record as the backend has it.
#[derive(Clone, Debug)]
struct Raw {
    value: String,
    revision: i64,
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

    /// Takes a write: it is shown from now on, and kept as soon as the backend can.
    ///
    /// # Errors
    /// When this host's disk doesn't take it.
    pub fn write(&self, write: Write) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let id = inner.next;
        inner.next += 1;
        let mut view = (*self.view()).clone();
        if self.alone {
            self.keep(&mut inner, &mut view, write);
        } else {
            inner.pending.retain(|pending| pending.write.key() != write.key());
            inner.pending.push(Pending { id, write });
            overlay(&mut view, &inner.pending);
        }
        self.show(view);
        drop(inner);
        self.wanted.notify_one();
        Ok(())
    }

    /// Without a backend, what is written is kept.
    fn keep(&self, inner: &mut Inner, view: &mut View, write: Write) {
        let revision = i64::try_from(inner.next).unwrap_or(i64::MAX);
        match write {
            Write::Put(key, record) => {
                inner.raw.insert(key.full(&self.federation), Raw { value: record.encode(), revision });
                view.records.insert(key, Kept { record, revision: Some(revision) });
            }
            Write::Remove(key) => {
                inner.raw.remove(&key.full(&self.federation));
                view.records.remove(&key);
            }
        }
    }

    /// Decides what needs one truth among sites.
    ///
    /// # Errors
    /// Where there is none, or it can't be asked.
    pub async fn transact(&self, transaction: Transaction) -> Result<Outcome, TruthError> {
        match &self.truth {
            Some(truth) => truth.transact(self, transaction).await,
            None => Err(TruthError::Embedded),
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
        let mut view = View { complete: before.complete, seen: before.seen, ..View::default() };
        for (full, raw) in &inner.raw {
            self.take(&mut view, full, &raw.value, raw.revision);
        }
        overlay(&mut view, &inner.pending);
        self.show(view);
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

/// The backend's side.
impl Store {
    pub fn federation(&self) -> &str {
        &self.federation
    }

    /// The writes that wait, the oldest first.
    pub fn pending(&self) -> Vec<Pending> {
        self.inner().pending.clone()
    }

    /// Resolves when a write was taken.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// These writes are kept.
    pub fn settled(&self, ids: &[u64]) {
        self.inner().pending.retain(|pending| !ids.contains(&pending.id));
    }

    /// The backend gave a sign of life.
    pub fn alive(&self) {
        self.inner().heard = Some(Instant::now());
    }

    /// These are the members now.
    pub fn clustered(&self, cluster: Cluster) {
        self.cluster.store(Some(Arc::new(cluster)));
    }

    /// The record as the backend is to keep it.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn sealed(&self, key: &Key, record: &Record) -> Result<String, SealError> {
        self.seal.load().seal(&key.full(&self.federation), &record.encode())
    }

    /// Everything that is kept, instead of what was known. Writes that wait stay on top.
    pub fn listed(&self, listed: Listed) {
        let mut inner = self.inner();
        inner.raw.clear();
        let mut view = View { complete: true, seen: listed.seen, ..View::default() };
        for (full, value, revision) in listed.values {
            self.take(&mut view, &full, &value, revision);
            inner.raw.insert(full, Raw { value, revision });
        }
        overlay(&mut view, &inner.pending);
        self.show(view);
    }

    /// What changed since.
    pub fn changed(&self, changes: Vec<Change>, seen: Seen) {
        let mut inner = self.inner();
        let mut view = (*self.view()).clone();
        for change in changes {
            match change {
                Change::Put { full, value, revision } => {
                    self.take(&mut view, &full, &value, revision);
                    inner.raw.insert(full, Raw { value, revision });
                }
                Change::Removed { full } => {
                    inner.raw.remove(&full);
                    view.refused.remove(&full);
                    if let Some(key) = self.key(&full) {
                        view.records.remove(&key);
                    }
                }
            }
        }
        view.seen = Some(seen);
        overlay(&mut view, &inner.pending);
        self.show(view);
    }

    fn key(&self, full: &str) -> Option<Key> {
        Key::parse(full.strip_prefix(&super::key::prefix(&self.federation))?)
    }

    /// Puts one record into the view, or says why it is left out. One that was believed before doesn't stay.
    fn take(&self, view: &mut View, full: &str, value: &str, revision: i64) {
        let Some(key) = self.key(full) else {
            view.refused.insert(full.to_owned(), Refusal::Key);
            return;
        };
        let opened = self.seal.load().open(&key, full, value).map_err(Refusal::from);
        match opened.and_then(|record| Ok(Record::decode(&key, &record)?)) {
            Ok(record) => {
                view.refused.remove(full);
                view.records.insert(key, Kept { record, revision: Some(revision) });
            }
            Err(why) => {
                tracing::warn!(key = full, %why, "a record is left out");
                view.records.remove(&key);
                view.refused.insert(full.to_owned(), why);
            }
        }
    }
}

/// What waits to be kept counts already.
fn overlay(view: &mut View, pending: &[Pending]) {
    for Pending { write, .. } in pending {
        match write {
            Write::Put(key, record) => {
                view.records.insert(key.clone(), Kept { record: record.clone(), revision: None });
            }
            Write::Remove(key) => drop(view.records.remove(key)),
        }
    }
}
