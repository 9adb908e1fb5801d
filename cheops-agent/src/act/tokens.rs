//! Credentials of other sites (AMENDMENTS 21): a service here asks its own issuer whose credential it was given; where
//! that doesn't know it, the issuer of the credential's home is asked in its place, and vouches for it.
//!
//! - A home is known from an issue that this agent saw, or from the agent that sent the request; never by trial.
//! - The own issuer is asked first, and only its answer that it doesn't know the credential counts. Then its home must be
//!   a site that `identity.trust` names.
//! - The home is asked by the credential itself: the asking service's own never leaves its site.
//! - What the home says is let in only as far as the profile and `identity.foreign-roles` allow (`vouch`), and only if
//!   what it names is nobody here (`known`).
//! - A service's own that came along with a credential is kept for a moment where that was issued, for it may expire while
//!   the service still works (`expired`).
//! - Nothing else that speaks for a credential is kept: each time a service asks, its home is asked. That it does not is kept
//!   for a moment, so that the user can be told why (`refused`); services say no more than 401.

mod ask;
mod counters;
mod expired;
mod explained;
mod known;
mod refused;
mod vouch;

use std::path::Path;

pub(super) use self::ask::{Check, is_check, vouched};
pub use self::counters::{Counters, Outcome};
pub(super) use self::expired::once_more;
pub use self::explained::{Credential, explained};
use self::known::Ids;
use self::refused::Refusals;
pub use self::refused::Why;
use super::ids;
use super::shared::Shared;
use crate::http::{AnswerHead, Problem, RequestHead};
use crate::metadata::Service;
use crate::metadata::snapshot::Addressed;
use crate::names::SiteName;
use crate::peer::{Refusal, named};
use crate::plan::{Plan, Route};
use crate::profile::Profile;
use crate::workflow::{Home, Homes, Known, Mark, Told};

/// The statuses by which services refuse a credential, and say that they can't have it checked.
pub(super) const UNAUTHORIZED: u16 = 401;
const UNAVAILABLE: u16 = 503;

/// What one agent knows of credentials. None of it is a user's.
#[derive(Debug, Default)]
pub struct Tokens {
    pub homes: Homes,
    pub counters: Counters,
    refused: Refusals,
    ids: Ids,
    alongside: expired::Alongside,
}

impl Tokens {
    /// With the homes that an earlier agent left.
    pub fn open(run_dir: &Path) -> Self {
        Self { homes: Homes::open(run_dir), ..Self::default() }
    }
}

/// What the agents that a scoped request passes are told of its credential. One that is unknown where the request enters
/// is probably of that site: it was issued before the agent came, or past it.
pub(super) fn told(shared: &Shared, head: &RequestHead, plan: &Plan) -> Option<Told> {
    let (snapshot, profiles) = (shared.snapshot.load(), shared.profiles.load());
    let profile = profiles.get_or_default(&snapshot.service(plan.service.as_str())?.profile);
    let mark = Mark::of(ids::credential(head, Some(profile))?);
    let here = shared.config.load().site.clone();
    let told = match shared.tokens.homes.of(&mark) {
        Some(Home { site, known }) => Told { mark, site, sure: known != Known::Guessed },
        None if plan.entry == here => Told { mark, site: here.clone(), sure: false },
        None => return None,
    };
    if told.site == here && plan.route != Route::Direct {
        expired::leaves(&shared.tokens, profile, head, &told.mark);
    }
    Some(told)
}

/// Learns the home of a credential that the issuer of `site` gives out in its answer.
pub(super) fn issued(shared: &Shared, service: &Service, head: &RequestHead, answer: &AnswerHead, site: &SiteName) {
    let profiles = shared.profiles.load();
    let profile = profiles.get_or_default(&service.profile);
    let Some(credentials) = profile.credentials().filter(|_| profile.issues(service.kind.as_deref())) else { return };
    let header = credentials.issued.as_ref().and_then(|issued| issued.header.as_ref());
    let Some(fresh) = header.filter(|_| answer.status() / 100 == 2).and_then(|header| answer.first(header)) else {
        return;
    };
    // An answer to a check repeats what it was asked for, whoever issued that.
    let checks = credentials.check.as_ref().is_some_and(|check| head.first(&check.subject).is_some());
    if !checks && !fresh.is_empty() {
        shared.tokens.homes.learn(&Mark::of(fresh), Home { site: site.clone(), known: Known::Issued });
    }
}

/// The own issuer can't be reached by a service that has a credential checked.
pub(super) fn unasked(shared: &Shared, found: &Addressed<'_>, profile: &Profile, head: &RequestHead, why: &Problem) {
    if let Some(subject) = ask::subject_of(profile, found.endpoint, head) {
        let tag = shared.tokens.homes.tag(&Mark::of(subject));
        let why = Why::Unasked(format!("its {} can't be reached: {}", found.service.name, why.detail));
        shared.tokens.counters.count(why.outcome());
        shared.tokens.refused.keep(tag, found.site, why);
    }
}

/// Why a service of this site answered that it doesn't believe the request's credential, if this agent knows.
pub(super) fn why_refused(shared: &Shared, service: &Service, head: &RequestHead, status: u16) -> Option<Refusal> {
    if !matches!(status, UNAUTHORIZED | UNAVAILABLE) || shared.tokens.refused.is_empty() {
        return None;
    }
    let profiles = shared.profiles.load();
    let mark = Mark::of(ids::credential(head, Some(profiles.get_or_default(&service.profile)))?);
    let refused = shared.tokens.refused.of(&shared.tokens.homes.tag(&mark))?;
    // A service that could not ask says either.
    if status == UNAVAILABLE && !matches!(refused.why, Why::Unasked(_)) {
        return None;
    }
    Some(Refusal::sent(refused.why.code(), refused.why.text(&refused.home)))
}

/// The same for a client of this agent.
pub(super) fn problem_of(shared: &Shared, refusal: &Refusal) -> Problem {
    Problem::new(refusal.code, named(&shared.config.load().site, &refusal.detail))
}
