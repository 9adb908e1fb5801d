//! What became of calls and records, counted. The names are labels of metrics: closed lists.

use std::sync::atomic::{AtomicU64, Ordering};

use super::links::Kind;

/// Why a request was refused for its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Refused {
    /// Its id is live under another scope.
    InUse,
    /// Its ids are live under several scopes.
    Ambiguous,
    /// No room for its record.
    Full,
}

impl Refused {
    /// Every reason.
    pub const ALL: &'static [Self] = &[Self::InUse, Self::Ambiguous, Self::Full];

    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InUse => "request-id-in-use",
            Self::Ambiguous => "ambiguous",
            Self::Full => "full",
        }
    }
}

/// One number for each thing that is counted.
#[derive(Debug, Default)]
pub struct Counters {
    linked: [AtomicU64; Kind::ALL.len()],
    unlinked: AtomicU64,
    refused: [AtomicU64; Refused::ALL.len()],
    missed: AtomicU64,
}

impl Counters {
    pub(super) fn count_linked(&self, kind: Kind) {
        if let Some(number) = self.linked.get(kind as usize) {
            number.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_unlinked(&self) {
        self.unlinked.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self, reason: Refused) {
        if let Some(number) = self.refused.get(reason as usize) {
            number.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An agent of the site did not acknowledge a request's ids in time.
    pub fn count_missed(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
    }

    /// Acknowledgements of the site's other agents that did not come in time.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Calls that were linked to a scoped request by this kind of id.
    pub fn linked(&self, kind: Kind) -> u64 {
        self.linked.get(kind as usize).map_or(0, |number| number.load(Ordering::Relaxed))
    }

    /// Requests that were linked to none while there were records.
    pub fn unlinked(&self) -> u64 {
        self.unlinked.load(Ordering::Relaxed)
    }

    /// Requests that were refused.
    pub fn refused(&self, reason: Refused) -> u64 {
        self.refused.get(reason as usize).map_or(0, |number| number.load(Ordering::Relaxed))
    }
}
