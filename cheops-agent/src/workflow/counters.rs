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

/// Why a call stayed where it was made although something linked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Stayed {
    /// It came with another credential than the workflow's.
    OtherCaller,
    /// Its credential, its only link, is used by several scopes.
    SeveralScopes,
}

impl Stayed {
    /// Every reason.
    pub const ALL: &'static [Self] = &[Self::OtherCaller, Self::SeveralScopes];

    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherCaller => "other-caller",
            Self::SeveralScopes => "several-scopes",
        }
    }
}

/// What came of asking the site's other agents for an id that isn't known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Asked {
    Known,
    Unknown,
    /// One of them did not answer in time, and no other one knew it.
    Unanswered,
}

impl Asked {
    /// Every outcome.
    pub const ALL: &'static [Self] = &[Self::Known, Self::Unknown, Self::Unanswered];

    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Unknown => "unknown",
            Self::Unanswered => "unanswered",
        }
    }
}

/// One number for each thing that is counted.
#[derive(Debug, Default)]
pub struct Counters {
    linked: [AtomicU64; Kind::ALL.len()],
    unlinked: AtomicU64,
    stayed: [AtomicU64; Stayed::ALL.len()],
    asked: [AtomicU64; Asked::ALL.len()],
    refused: [AtomicU64; Refused::ALL.len()],
    missed: AtomicU64,
}

/// One more.
fn count(numbers: &[AtomicU64], which: usize) {
    if let Some(number) = numbers.get(which) {
        number.fetch_add(1, Ordering::Relaxed);
    }
}

fn counted(numbers: &[AtomicU64], which: usize) -> u64 {
    numbers.get(which).map_or(0, |number| number.load(Ordering::Relaxed))
}

impl Counters {
    pub(super) fn count_linked(&self, kind: Kind) {
        count(&self.linked, kind as usize);
    }

    pub(super) fn count_stayed(&self, why: Stayed) {
        count(&self.stayed, why as usize);
    }

    /// The site's other agents were asked.
    pub fn count_asked(&self, outcome: Asked) {
        count(&self.asked, outcome as usize);
    }

    pub(super) fn count_unlinked(&self) {
        self.unlinked.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self, reason: Refused) {
        count(&self.refused, reason as usize);
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
        counted(&self.linked, kind as usize)
    }

    /// Requests that were linked to none while there were records.
    pub fn unlinked(&self) -> u64 {
        self.unlinked.load(Ordering::Relaxed)
    }

    /// Requests that were refused.
    pub fn refused(&self, reason: Refused) -> u64 {
        counted(&self.refused, reason as usize)
    }

    /// Calls that were linked and stayed all the same.
    pub fn stayed(&self, why: Stayed) -> u64 {
        counted(&self.stayed, why as usize)
    }

    /// How often the site's other agents were asked.
    pub fn asked(&self, outcome: Asked) -> u64 {
        counted(&self.asked, outcome as usize)
    }
}
