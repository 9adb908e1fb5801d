//! What is known, at one moment.

use std::collections::BTreeMap;

use super::super::bounds::Excess;
use super::super::key::Key;
use super::super::record::{Record, RecordError};
use super::super::seal::SealError;

/// What is known, at one moment.
#[derive(Clone, Default)]
pub struct View {
    pub(super) records: BTreeMap<Key, Kept>,
    /// Records that are there and aren't believed or understood, by their whole key.
    pub refused: BTreeMap<String, Refusal>,
    /// Whether the whole list was ever seen, also before a restart. If not, what is absent here is not known.
    pub complete: bool,
    /// The cluster that it was seen in and the revision up to which it is; `None` for this site's own store.
    pub seen: Option<Seen>,
}

/// A place in the history of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub cluster: u64,
    pub revision: i64,
}

/// A record that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub record: Record,
    /// When it was last written; absent while the write still waits.
    pub revision: Option<i64>,
    /// Whether it was seen in an earlier history of the cluster, and not in the one that goes on: the cluster was wiped or
    /// restored, and nobody wrote or removed the record since. It counts as before.
    pub stale: bool,
    /// Whether its seal is under an authority that is about to go.
    pub worn: bool,
}

/// Why a record is left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("its key is none of ours")]
    Key,
    #[error(transparent)]
    Excess(#[from] Excess),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl View {
    /// The record at `key`.
    pub fn get(&self, key: &Key) -> Option<&Kept> {
        self.records.get(key)
    }

    /// What is to be sealed anew before an authority goes.
    pub fn worn(&self) -> impl Iterator<Item = &Key> {
        self.records.iter().filter(|(_, kept)| kept.worn).map(|(key, _)| key)
    }

    /// Every record, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Record)> {
        self.records.iter().map(|(key, kept)| (key, &kept.record))
    }
}
