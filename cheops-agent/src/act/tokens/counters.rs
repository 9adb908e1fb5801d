//! What came of credentials of other sites, counted. The names are labels of metrics: a closed list.

use std::sync::atomic::{AtomicU64, Ordering};

/// What came of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Outcome {
    Accepted,
    /// The home isn't known, or is this site itself.
    Unknown,
    Untrusted,
    /// Its home says so.
    NotValid,
    /// Its home vouches for it, but not for what is let in here.
    Refused,
    Unreachable,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: &'static [Self] =
        &[Self::Accepted, Self::Unknown, Self::Untrusted, Self::NotValid, Self::Refused, Self::Unreachable];

    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Unknown => "unknown",
            Self::Untrusted => "untrusted",
            Self::NotValid => "not-valid",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One number for each outcome.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; Outcome::ALL.len()]);

impl Counters {
    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(number) = self.0.get(outcome as usize) {
            number.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Checks that came out so.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.0.get(outcome as usize).map_or(0, |number| number.load(Ordering::Relaxed))
    }
}
