//! What needs one truth among all sites: it is decided by the metadata cluster, or not at all.

use futures_util::future::BoxFuture;

use super::key::Key;
use super::record::Record;
use super::store::Store;

/// A change of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Put(Key, Record),
    Remove(Key),
}

impl Write {
    /// The record that it changes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Remove(key) => key,
        }
    }
}

/// What must hold for a transaction to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No record is there.
    Absent(Key),
    /// The record that is there was last written at this revision.
    Unchanged(Key, i64),
}

/// Writes that are done all or not at all, if all conditions hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transaction {
    pub when: Vec<Condition>,
    pub then: Vec<Write>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All writes are done, at this revision: greater than that of every transaction before.
    Done(i64),
    /// A condition didn't hold; nothing was written.
    Conflict,
}

/// Why nothing is known of what became of it, or nothing was tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TruthError {
    #[error(
        "this needs one truth among sites, and this site keeps its metadata for itself; configure [metadata] backend = \
         \"etcd\" with endpoints"
    )]
    Embedded,
    #[error("the metadata cluster can't be reached: {0}")]
    Unreachable(String),
    #[error("the metadata cluster refuses: {0}")]
    Refused(String),
    #[error("it is not known whether the metadata cluster did it: {0}")]
    Unknown(String),
    #[error("the record can't be signed: {0}")]
    Seal(#[from] super::seal::SealError),
}

/// Whoever can decide.
pub trait Truth: Send + Sync {
    /// Does the transaction, with records as `store` seals them, or tells that it wasn't done. Waits for the cluster, so
    /// no request may wait for it.
    fn transact<'a>(&'a self, store: &'a Store, transaction: Transaction)
    -> BoxFuture<'a, Result<Outcome, TruthError>>;
}
