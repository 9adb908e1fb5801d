//! What needs one truth among all sites: it is decided by the metadata cluster, or not at all.

use futures_util::future::BoxFuture;

use super::store::Store;
use super::transaction::{Outcome, Transaction};

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
