//! What of the copy outlives the agent, and when it is written.
//!
//! Writes that wait are on the disk before anybody is told that they were taken. What a backend tells can be asked for
//! again, so it follows within a second or so.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

use super::disk::{Disk, DiskError, Owner, Part, Saved, State, Update};
use super::view::View;
use super::{Inner, Pending, Store, StoreError, kept};
use crate::metadata::record::{self, Millis};
use crate::metadata::transaction::Write;

/// How often what changed is saved.
const EVERY: Duration = Duration::from_secs(1);
/// How often the time of the last contact is saved, where nothing else changes.
const CONTACT: Duration = Duration::from_secs(30);
/// How soon a file that couldn't be used is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The file and what it lacks.
#[derive(Default)]
pub(super) struct File {
    at: Option<At>,
    place: Place,
    /// Whether what an earlier agent saved was read.
    read: bool,
    unsaved: Unsaved,
    contact: Option<Instant>,
}

struct At {
    path: PathBuf,
    part: Part,
    owner: Owner,
}

#[derive(Default)]
enum Place {
    /// There is no file.
    #[default]
    Nowhere,
    Open(Disk),
    /// It can't be used.
    Closed {
        why: DiskError,
        tried: Instant,
    },
    /// Another agent has it now.
    Released,
}

#[derive(Default)]
struct Unsaved {
    whole: bool,
    records: BTreeSet<String>,
}

impl File {
    /// What stands at this key is to be saved.
    pub fn note(&mut self, full: String) {
        if self.at.is_some() && !self.unsaved.whole {
            self.unsaved.records.insert(full);
        }
    }

    /// Everything is to be saved.
    pub fn all_again(&mut self) {
        self.unsaved = Unsaved { whole: self.at.is_some(), records: BTreeSet::new() };
    }

    /// Why it can't be used.
    pub fn trouble(&self) -> Option<DiskError> {
        match &self.place {
            Place::Closed { why, .. } => Some(why.clone()),
            _ => None,
        }
    }

    fn save(&mut self, update: &Update) -> Result<(), StoreError> {
        match &self.place {
            Place::Nowhere => Ok(()),
            Place::Released => Err(StoreError::HandingOver),
            Place::Closed { why, .. } => Err(why.clone().into()),
            Place::Open(disk) => disk.save(update).map_err(|why| {
                self.close(why.clone());
                why.into()
            }),
        }
    }

    fn close(&mut self, why: DiskError) {
        // Once, though it is tried again each second.
        if self.trouble().as_ref() != Some(&why) {
            tracing::error!(%why, "what is known of other sites doesn't outlive this agent");
        }
        self.place = Place::Closed { why, tried: Instant::now() };
        self.all_again();
    }
}

impl Store {
    /// Keeps the copy there, and takes up what an earlier agent left. A file that can't be used is left alone, `facts` says
    /// why, and it is tried again.
    pub fn kept_at(self, path: PathBuf, site: &str, host: &str) -> Self {
        let owner = Owner { federation: self.federation.clone(), site: site.to_owned(), host: host.to_owned() };
        let part = if self.alone { Part::Embedded } else { Part::Backend };
        {
            let mut inner = self.inner();
            inner.file.at = Some(At { path, part, owner });
            self.open(&mut inner);
        }
        self
    }

    fn open(&self, inner: &mut Inner) {
        let Some(at) = &inner.file.at else { return };
        match Disk::open(&at.path, at.part, &at.owner) {
            Ok((disk, saved)) => {
                inner.file.place = Place::Open(disk);
                if !std::mem::replace(&mut inner.file.read, true) {
                    self.take_up(inner, saved);
                }
            }
            Err(why) => inner.file.close(why),
        }
    }

    /// Adds what an earlier agent left to what is known by now.
    fn take_up(&self, inner: &mut Inner, saved: Saved) {
        let before = self.view();
        let Saved { mut raw, pending, state } = saved;
        let newest = raw.values().map(|raw| raw.revision).max().and_then(|newest| u64::try_from(newest).ok());
        inner.next = inner.next.max(newest.map_or(0, |newest| newest.saturating_add(1)));
        let known = std::mem::take(&mut inner.pending);
        let mut next = inner.next;
        inner.pending = pending
            .into_iter()
            .filter(|write| known.iter().all(|known| known.write.key() != write.key()))
            .chain(known.iter().map(|known| known.write.clone()))
            .map(|write| {
                next += 1;
                Pending { id: next - 1, write }
            })
            .collect();
        inner.next = next;
        let listed = before.seen.is_some();
        if !listed || self.alone {
            raw.append(&mut inner.raw);
            if self.alone {
                inner.raw = raw;
            } else {
                self.keep(inner, raw);
            }
        }
        inner.contact = state.contact;
        let view = match listed {
            true => View { complete: before.complete, seen: before.seen, ..View::default() },
            false => View { complete: state.complete || self.alone, seen: state.seen, ..View::default() },
        };
        inner.file.all_again();
        self.show(self.read(inner, view));
        self.wanted.notify_one();
    }

    /// Saves one write, before it is taken.
    pub(super) fn save_write(&self, inner: &mut Inner, id: u64, write: &Write) -> Result<(), StoreError> {
        if write.key().leased() {
            return Ok(());
        }
        self.try_again(inner);
        let mut update = Update::default();
        match self.alone {
            true => drop(update.records.insert(write.key().full(&self.federation), kept(id, write))),
            false => drop(update.pending.insert(write.key().to_string(), Some((id, record_of(write))))),
        }
        inner.file.save(&update)
    }

    /// These don't wait any more.
    pub(super) fn save_settled(&self, inner: &mut Inner, done: &[Write]) {
        let waits = |write: &&Write| inner.pending.iter().any(|pending| pending.write.key() == write.key());
        let gone = done.iter().filter(|write| !write.key().leased() && !waits(write));
        let update =
            Update { pending: gone.map(|write| (write.key().to_string(), None)).collect(), ..Update::default() };
        if update.pending.is_empty() {
            return;
        }
        if let Err(error) = aside(|| inner.file.save(&update)) {
            tracing::debug!(%error, "writes that are done still stand in the file");
            inner.file.all_again();
        }
    }

    /// Saves what changed, for ever.
    pub async fn save(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.flush();
        }
    }

    /// Saves what changed.
    pub fn flush(&self) {
        let mut inner = self.inner();
        aside(|| self.flush_now(&mut inner));
    }

    fn flush_now(&self, inner: &mut Inner) {
        self.try_again(inner);
        let contact = inner.heard.filter(|heard| inner.file.contact.is_none_or(|saved| *heard > saved + CONTACT));
        let Unsaved { whole, records } = std::mem::take(&mut inner.file.unsaved);
        if !whole && records.is_empty() && contact.is_none() {
            return;
        }
        let mut update = Update { whole, state: Some(self.state(inner)), ..Update::default() };
        if whole {
            let all = inner.raw.iter().filter(|(full, _)| self.outlives(full));
            update.records = all.map(|(full, raw)| (full.clone(), Some(raw.clone()))).collect();
            let waiting = inner.pending.iter().filter(|pending| !pending.write.key().leased());
            update.pending = waiting
                .map(|pending| (pending.write.key().to_string(), Some((pending.id, record_of(&pending.write)))))
                .collect();
        } else {
            let some = records.into_iter().filter(|full| self.outlives(full));
            update.records = some.map(|full| (full.clone(), inner.raw.get(&full).cloned())).collect();
        }
        match inner.file.save(&update) {
            Ok(()) => inner.file.contact = inner.heard,
            Err(error) => {
                tracing::debug!(%error, "what changed is not saved");
                inner.file.all_again();
            }
        }
    }

    fn state(&self, inner: &Inner) -> State {
        let view = self.view();
        let since = |heard: Instant| Millis::try_from(heard.elapsed().as_millis()).unwrap_or(Millis::MAX);
        let contact = inner.heard.map(|heard| record::now().saturating_sub(since(heard)));
        State { complete: view.complete, seen: view.seen, contact: contact.or(inner.contact) }
    }

    fn try_again(&self, inner: &mut Inner) {
        if matches!(&inner.file.place, Place::Closed { tried, .. } if tried.elapsed() >= AGAIN) {
            self.open(inner);
        }
    }

    /// Lets the file go, so that another agent can have it: what comes from now on outlives nothing, and `write` refuses.
    pub fn release(&self) {
        let mut inner = self.inner();
        aside(|| {
            self.flush_now(&mut inner);
            if inner.file.at.is_some() {
                inner.file.place = Place::Released;
            }
        });
    }

    /// Has the file again.
    pub fn take_back(&self) {
        let mut inner = self.inner();
        if matches!(inner.file.place, Place::Released) {
            aside(|| {
                self.open(&mut inner);
                inner.file.all_again();
            });
        }
    }
}

fn record_of(write: &Write) -> Option<String> {
    match write {
        Write::Put(_, record) => Some(record.encode()),
        Write::Remove(_) => None,
    }
}

/// Does what may wait for the disk, so that no other task of this thread waits with it.
pub(super) fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests;
