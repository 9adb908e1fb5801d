//! Why credentials were not believed, kept for a moment: a service that asked says 401 and no more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::counters::Outcome;
use crate::http::Code;
use crate::names::SiteName;
use crate::workflow::Tag;

/// So long the home isn't asked again.
const STANDS: Duration = Duration::from_secs(3);
/// So long a reason can be told; services remember for a while, too, what they were told.
const TOLD: Duration = Duration::from_secs(60);
/// Reasons at most.
const MOST: usize = 4096;

/// Why a credential of another site is not believed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its home is none of the trusted sites.
    Untrusted,
    /// Its home doesn't know it, or not any more.
    NotValid,
    /// It is valid there, but not here: why.
    Refused(String),
    /// Its home could not be asked: why.
    Unreachable(String),
    /// The own issuer could not be asked, whose ever it is: why.
    Unasked(String),
}

impl Why {
    /// The code of the answer.
    pub fn code(&self) -> Code {
        match self {
            Self::Untrusted => Code::TokenUntrusted,
            Self::NotValid => Code::TokenNotValid,
            Self::Refused(_) => Code::TokenRefused,
            Self::Unreachable(_) => Code::HomeUnreachable,
            Self::Unasked(_) => Code::IssuerUnreachable,
        }
    }

    /// For people, after the name of the site that was asked.
    pub fn text(&self, home: &SiteName) -> String {
        match self {
            Self::Untrusted => format!("tokens of {home}, which issued this one, are not accepted"),
            Self::NotValid => {
                format!("{home}, which issued the token, says that it is not valid: it has expired or was revoked")
            }
            Self::Refused(why) => format!("this token of {home} is not accepted: {why}"),
            Self::Unreachable(why) => {
                format!("{home}, which issued the token, can't be asked whether it is valid: {why}")
            }
            Self::Unasked(why) => format!("no token can be checked there now: {why}"),
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Untrusted => Outcome::Untrusted,
            Self::NotValid => Outcome::NotValid,
            Self::Refused(_) => Outcome::Refused,
            Self::Unreachable(_) | Self::Unasked(_) => Outcome::Unreachable,
        }
    }
}

/// A credential that was not believed.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) why: Why,
    pub(super) home: SiteName,
    since: Instant,
}

/// Those of the last minute.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: AtomicUsize,
    table: Mutex<HashMap<Tag, Refused>>,
}

impl Refusals {
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Why it was not believed.
    pub(super) fn of(&self, tag: &Tag) -> Option<Refused> {
        self.with(|table| table.get(tag).filter(|refused| refused.since.elapsed() < TOLD).cloned())
    }

    /// What its home said a moment ago.
    pub(super) fn standing(&self, tag: &Tag, home: &SiteName) -> Option<Why> {
        let refused = self.of(tag)?;
        let of_home = matches!(refused.why, Why::NotValid | Why::Refused(_) | Why::Unreachable(_));
        let stands = of_home && refused.home == *home && refused.since.elapsed() < STANDS;
        stands.then_some(refused.why)
    }

    /// Keeps the reason.
    pub(super) fn keep(&self, tag: Tag, home: &SiteName, why: Why) {
        let now = Instant::now();
        self.with(|table| {
            if table.len() >= MOST {
                table.retain(|_, refused| now.duration_since(refused.since) < TOLD);
            }
            if table.len() >= MOST && !table.contains_key(&tag) {
                let oldest = table.iter().min_by_key(|(_, refused)| refused.since).map(|(tag, _)| *tag);
                oldest.map(|oldest| table.remove(&oldest));
            }
            table.insert(tag, Refused { why, home: home.clone(), since: now });
        });
    }

    /// It is believed now.
    pub(super) fn forget(&self, tag: &Tag) {
        if !self.is_empty() {
            self.with(|table| table.remove(tag));
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Tag, Refused>) -> T) -> T {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut table);
        self.count.store(table.len(), Ordering::Release);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::{Homes, Mark};

    #[test]
    fn reasons_are_kept_for_a_moment_and_are_bounded() {
        let (homes, refusals) = (Homes::default(), Refusals::default());
        let tag = |number: usize| homes.tag(&Mark::of(number.to_string().as_bytes()));
        let (berlin, nantes) = (SiteName::from("Berlin"), SiteName::from("Nantes"));
        assert!(refusals.is_empty() && refusals.of(&tag(0)).is_none());
        refusals.keep(tag(0), &berlin, Why::NotValid);
        assert_eq!(refusals.standing(&tag(0), &berlin), Some(Why::NotValid));
        assert_eq!(refusals.standing(&tag(0), &nantes), None, "another home is asked");
        refusals.keep(tag(1), &berlin, Why::Untrusted);
        assert_eq!(refusals.standing(&tag(1), &berlin), None, "the configuration may have changed");
        assert_eq!(refusals.of(&tag(1)).expect("kept").why, Why::Untrusted);
        for number in 2..MOST + 5 {
            refusals.keep(tag(number), &berlin, Why::NotValid);
        }
        assert_eq!(refusals.count.load(Ordering::Relaxed), MOST);
        assert!(refusals.of(&tag(0)).is_none() && refusals.of(&tag(MOST + 4)).is_some());
        refusals.forget(&tag(MOST + 4));
        assert!(refusals.of(&tag(MOST + 4)).is_none());
    }
}
