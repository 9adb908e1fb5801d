//! The backend's side of the copy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::view::{Kept, Refusal, Seen, View};
use super::{Change, Inner, Listed, Lost, Pending, Raw, Store, overlay};
use crate::metadata::bounds::shown;
use crate::metadata::cluster::Cluster;
use crate::metadata::key::{Key, prefix};
use crate::metadata::record::{self, Record};
use crate::metadata::seal::SealError;
use crate::metadata::transaction::Write;

/// Records that are left out and said so in the log; all are counted.
const LOGGED: usize = 64;

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
        let mut inner = self.inner();
        let settled = |pending: &Pending| ids.contains(&pending.id);
        let done: Vec<Write> = inner.pending.iter().filter(|one| settled(one)).map(|one| one.write.clone()).collect();
        inner.pending.retain(|pending| !settled(pending));
        for write in &done {
            // A removal of what nobody else has is told by no backend.
            if let Write::Remove(key) = write {
                let full = key.full(&self.federation);
                inner.forget(Some(key), &full);
                inner.file.note(full);
            }
        }
        self.save_settled(&mut inner, &done);
        let mut view = (*self.view()).clone();
        for write in &done {
            if let Some(kept) = self.seen_already(&inner, write) {
                view.records.insert(write.key().clone(), kept);
            }
        }
        overlay(&mut view, &inner.pending);
        self.show(view);
    }

    /// What was written, if the backend has told of it already: it doesn't wait any more, and has a revision.
    fn seen_already(&self, inner: &Inner, write: &Write) -> Option<Kept> {
        let Write::Put(key, record) = write else { return None };
        let full = key.full(&self.federation);
        let mut view = View::default();
        self.take(&mut view, &full, inner.raw.get(&full)?);
        // What was there before is not told again: views never go back.
        view.records.remove(key).filter(|kept| kept.record == *record)
    }

    /// The backend refuses this write, which waits on. Whether that is news.
    pub fn denied(&self, id: u64, why: &str) -> bool {
        let mut inner = self.inner();
        let Inner { denied, pending, .. } = &mut *inner;
        denied.retain(|id, _| pending.iter().any(|pending| pending.id == *id));
        pending.iter().any(|pending| pending.id == id) && denied.insert(id, why.to_owned()).is_none_or(|was| was != why)
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
    ///
    /// In a cluster that was wiped or restored, what isn't there any more was not removed by anybody: it stays known, as
    /// stale, until somebody writes or removes it.
    pub fn listed(&self, listed: Listed) {
        let mut inner = self.inner();
        let before = self.view().seen;
        let lost = match (before, listed.seen) {
            (Some(was), Some(is)) if was.cluster != is.cluster || was.revision > is.revision => {
                tracing::warn!(?was, ?is, "the metadata cluster was wiped or restored: what was known stays known");
                Some(Lost { was, is, at: record::now() })
            }
            _ => None,
        };
        let old = std::mem::take(&mut inner.raw);
        (inner.left_out, inner.unnamed) = (BTreeMap::new(), u64::from(listed.more));
        listed.left_out.iter().for_each(|(full, excess)| inner.leave_out(full, *excess));
        let told = listed.values.into_iter();
        let told = told.map(|(full, value, revision)| (full, Raw { value, revision, stale: false }));
        self.keep(&mut inner, told);
        for (full, raw) in old {
            if (lost.is_some() || raw.stale) && self.outlives(&full) {
                let newer = |there: &Raw| lost.is_some_and(|lost| lost.same_cluster()) && there.revision < raw.revision;
                let key = self.key(&full);
                if inner.raw.get(&full).is_none_or(newer) && inner.room(key.as_ref(), &full, &raw.value).is_ok() {
                    inner.raw.insert(full, Raw { stale: true, ..raw });
                }
            }
        }
        if lost.is_some() {
            inner.lost = lost;
        }
        inner.file.all_again();
        if inner.excess() > 0 {
            tracing::warn!(records = inner.excess(), more = listed.more, "the cluster keeps more than is taken");
        }
        let view = self.read(&inner, View { complete: !listed.more, seen: listed.seen, ..View::default() });
        self.seen(inner, view);
    }

    /// What changed since.
    pub fn changed(&self, changes: Vec<Change>, seen: Seen) {
        let mut inner = self.inner();
        let mut view = (*self.view()).clone();
        for change in changes {
            match change {
                Change::Put { full, value, revision } => {
                    self.put(&mut inner, &mut view, &full, Raw { value, revision, stale: false });
                    inner.file.note(full);
                }
                Change::Removed { full } => {
                    let key = self.key(&full);
                    inner.forget(key.as_ref(), &full);
                    inner.let_in(&full);
                    view.refused.remove(&full);
                    view.refused.remove(&shown(&full));
                    if let Some(key) = key {
                        view.records.remove(&key);
                    }
                    inner.file.note(full);
                }
            }
        }
        view.seen = Some(seen);
        overlay(&mut view, &inner.pending);
        self.seen(inner, view);
    }

    fn put(&self, inner: &mut Inner, view: &mut View, full: &str, raw: Raw) {
        let key = self.key(full);
        if let Err(excess) = inner.room(key.as_ref(), full, &raw.value) {
            inner.forget(key.as_ref(), full);
            inner.leave_out(full, excess);
            if inner.left_out.contains_key(&shown(full)) {
                view.refused.insert(shown(full), excess.into());
            }
            if let Some(key) = key {
                view.records.remove(&key);
            }
            return;
        }
        inner.let_in(full);
        view.refused.remove(&shown(full));
        if self.take(view, full, &raw) {
            inner.raw.insert(full.to_owned(), raw);
        } else {
            inner.take_back(key.as_ref(), full, &raw.value);
        }
    }

    fn seen(&self, mut inner: std::sync::MutexGuard<'_, Inner>, view: View) {
        inner.heard = Some(Instant::now());
        if inner.raw.values().all(|raw| !raw.stale) {
            inner.lost = None;
        }
        self.show(view);
    }

    pub(super) fn key(&self, full: &str) -> Option<Key> {
        Key::parse(full.strip_prefix(&prefix(&self.federation))?)
    }

    /// Whether a record still says something when the cluster that had it is gone. A lease does not, and a token's was to
    /// be redeemed once.
    pub(super) fn outlives(&self, full: &str) -> bool {
        self.key(full).is_some_and(|key| !key.leased() && !matches!(key, Key::Token(_)))
    }

    /// Puts one record into the view, or says why it is left out. One that was believed before doesn't stay, except before
    /// one that is older. Whether this is what there is now.
    pub(super) fn take(&self, view: &mut View, full: &str, raw: &Raw) -> bool {
        let Some(key) = self.key(full) else {
            view.refused.insert(full.to_owned(), Refusal::Key);
            return true;
        };
        let opened = self.seal.load().open(&key, full, &raw.value).map_err(Refusal::from);
        match opened.and_then(|record| Ok(Record::decode(&key, &record)?)) {
            Ok(record) => {
                view.refused.remove(full);
                let worn = self.seal.load().worn(&raw.value);
                view.records.insert(key, Kept { record, revision: Some(raw.revision), stale: raw.stale, worn });
                true
            }
            // Whoever has joined nothing believes nobody, and nothing is wrong with that.
            Err(Refusal::Seal(SealError::NotJoined)) => {
                view.refused.remove(full);
                view.records.remove(&key);
                true
            }
            Err(why) => {
                if view.refused.len() < LOGGED {
                    tracing::warn!(key = full, %why, "a record is left out");
                }
                let older = why == Refusal::Seal(SealError::Older);
                view.refused.insert(full.to_owned(), why);
                if older && view.records.contains_key(&key) {
                    return false;
                }
                view.records.remove(&key);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::record::{SiteRecord, Standing};
    use crate::metadata::seal::Unsealed;

    /// The backend's word of it may come before or after its word that it is kept.
    #[test]
    fn a_write_has_a_revision_once_it_is_settled_and_seen() {
        let store = Store::new("f", Box::new(Unsealed), None);
        let key = Key::Site("B".into());
        let stands = |standing| Record::Site(SiteRecord { standing, since: 1 });
        let told = |standing, revision| {
            let change = Change::Put { full: key.full("f"), value: stands(standing).encode(), revision };
            store.changed(vec![change], Seen { cluster: 1, revision });
        };
        let known = || store.view().get(&key).map(|kept| (kept.record.clone(), kept.revision));
        let settle = || store.settled(&store.pending().iter().map(|one| one.id).collect::<Vec<_>>());
        store.write(Write::Put(key.clone(), stands(Standing::Active))).expect("taken");
        told(Standing::Active, 2);
        assert_eq!(known(), Some((stands(Standing::Active), None)));
        settle();
        assert_eq!(known(), Some((stands(Standing::Active), Some(2))));
        store.write(Write::Put(key.clone(), stands(Standing::Drained))).expect("taken");
        settle();
        assert_eq!(known(), Some((stands(Standing::Drained), None)), "not as it was before");
        told(Standing::Drained, 3);
        assert_eq!(known(), Some((stands(Standing::Drained), Some(3))));
    }
}
