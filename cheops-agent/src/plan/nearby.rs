//! The sites that `around` and `*` stand for, at the time of the request.
//!
//! `around(A, d)` is every live site whose measured round trip to A is at most d, A itself included, in the order of
//! their distance to A: who writes Paris wants the request to be served at Paris, or as near to Paris as can be, and not
//! at the edge of that circle which is nearest to the client. `*` is every site that is known, the nearest to the entry
//! site first. Where one site serves the request, the sites of either are tried like those of `||`; lists of all of them
//! are united. A site whose
//! distance is unknown is not in range: unknown is not zero. Where nobody measured it, an estimate counts, and only if
//! it is in range by all of its error.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::world::World;
use crate::http::{Code, Problem};
use crate::metadata::Service;
use crate::metadata::latency::{Between, State};
use crate::metadata::record::Standing;
use crate::names::SiteName;
use crate::scope::{Expr, Span};

/// Sites of a list that a hint shows.
const SHOWN: usize = 8;

/// A site that was looked at for `around` or `*`, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Candidate {
    pub site: SiteName,
    /// From where its distance counts.
    pub from: SiteName,
    /// The most that it may be; none for `*`.
    #[serde(rename = "within-ms", serialize_with = "milliseconds")]
    pub within: Option<Duration>,
    /// The least measured round trip of the last seconds, or an estimate; none when it is unknown.
    #[serde(rename = "rtt-ms", serialize_with = "milliseconds")]
    pub rtt: Option<Duration>,
    /// By how much an estimate is usually wrong; none for what was measured.
    #[serde(rename = "error-ms", serialize_with = "milliseconds")]
    pub error: Option<Duration>,
    /// How old that is.
    #[serde(rename = "age-ms", serialize_with = "milliseconds")]
    pub age: Option<Duration>,
    /// Who measured it; nobody, if it is estimated.
    pub by: Option<SiteName>,
    /// How it stands, as seen from here.
    pub state: State,
    pub verdict: Verdict,
}

/// Whether a site is among those that are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    In,
    /// Of `*`: it is tried when all others were.
    Last,
    OutOfRange,
    DistanceUnknown,
    Down,
    /// The service has no endpoint there that takes scopes.
    NoEndpoint,
    /// It is chosen for nothing new.
    Cordoned,
    /// Nothing new is created there for other sites.
    Drained,
}

/// What a request wants, as far as it matters where it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// A list; lists of several sites can be united.
    List,
    /// Something new.
    Create,
    /// To see something that may be at any of the sites, and to change nothing.
    Read,
    /// What the API is.
    Describe,
    Other,
}

fn milliseconds<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64() * 1000.0).serialize(to)
}

/// What an expression of sites, `||`, `around` and `*` comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sites {
    /// In the order in which they are tried, each once.
    pub(super) sites: Vec<SiteName>,
    /// What was looked at for them.
    pub(super) candidates: Vec<Candidate>,
}

impl Sites {
    /// Only this one.
    pub(super) fn one(site: &SiteName) -> Self {
        Self { sites: vec![site.clone()], candidates: Vec::new() }
    }

    /// A list that was begun goes on at the sites that it began with: others may have come into range meanwhile, or left
    /// it. Whether it does.
    pub(super) fn go_on_at(&mut self, begun: impl Iterator<Item = SiteName>, service: &Service) -> bool {
        let known: Vec<SiteName> = begun.filter(|site| takes_scopes(service, site)).collect();
        if !self.candidates.is_empty() && !known.is_empty() {
            self.sites = known;
            return true;
        }
        false
    }

    /// This agent's own site first; with `near`, then by how near they are to it, the dead ones last.
    pub(super) fn own_first(&mut self, near: bool, world: &World<'_>) {
        self.sites.sort_by_cached_key(|site| {
            let own = site == world.here;
            let rtt = match world.distances.between(world.here, site) {
                Some(Between::Measured(found)) => Some(found.rtt),
                Some(Between::Estimated(found, _)) => Some(found.rtt),
                None => None,
            };
            let dead = near && !own && world.distances.state(site) == State::Dead;
            (!own, dead, near && rtt.is_none(), rtt.filter(|_| near))
        });
    }

    /// This agent's own site, when no other can.
    pub(super) fn own_last(&mut self, service: &Service, world: &World<'_>) {
        if takes_scopes(service, world.here) {
            self.put(world.here.clone());
        }
    }

    /// The sites of `expr` for `service` in a request of `entry`.
    ///
    /// # Errors
    /// When no site is left.
    pub(super) fn of(
        expr: &Expr,
        service: &Service,
        entry: &SiteName,
        wants: Wants,
        world: &World<'_>,
    ) -> Result<Self, Problem> {
        let mut found = Self::default();
        found.add(expr, &Looking { service, entry, wants, world });
        if found.sites.is_empty() { Err(nobody(expr.span(), service, &found.candidates)) } else { Ok(found) }
    }

    fn add(&mut self, expr: &Expr, looking: &Looking<'_>) {
        let all = || looking.world.snapshot.sites.keys();
        let mut looked_at: Vec<Candidate> = match expr {
            Expr::Site(name) => {
                let site = SiteName::from(name.text.as_str());
                match looking.may_create(&site) {
                    true => return self.put(site),
                    false => vec![Candidate { verdict: Verdict::Drained, ..looking.near(&site, &site, None) }],
                }
            }
            Expr::Around { site, within } => {
                let from = SiteName::from(site.text.as_str());
                all().map(|site| looking.near(site, &from, Some(*within))).collect()
            }
            Expr::All(_) => all().map(|site| looking.near(site, looking.entry, None)).collect(),
            expr => return expr.parts().iter().for_each(|part| self.add(part, looking)),
        };
        looked_at.sort_by_key(|one| (one.verdict == Verdict::Last, one.rtt.is_none(), one.rtt));
        for candidate in looked_at {
            if matches!(candidate.verdict, Verdict::In | Verdict::Last) {
                self.put(candidate.site.clone());
            }
            self.candidates.push(candidate);
        }
    }

    fn put(&mut self, site: SiteName) {
        if !self.sites.contains(&site) {
            self.sites.push(site);
        }
    }
}

/// For whom sites are looked at.
struct Looking<'a> {
    service: &'a Service,
    entry: &'a SiteName,
    wants: Wants,
    world: &'a World<'a>,
}

impl Looking<'_> {
    /// Whether a scope that names the site may make something new there. What a site's own users ask for it does itself.
    fn may_create(&self, site: &SiteName) -> bool {
        self.wants != Wants::Create || site == self.entry || self.world.standing(site) != Standing::Drained
    }

    fn near(&self, site: &SiteName, from: &SiteName, within: Option<Duration>) -> Candidate {
        let mut candidate = near(site, from, within, self.service, self.world);
        if self.wants == Wants::Create {
            candidate.verdict = match self.world.standing(site) {
                Standing::Active => candidate.verdict,
                Standing::Cordoned => Verdict::Cordoned,
                Standing::Drained => Verdict::Drained,
            };
        }
        candidate
    }
}

fn near(site: &SiteName, from: &SiteName, within: Option<Duration>, service: &Service, world: &World<'_>) -> Candidate {
    let (rtt, error, age, by) = match world.distances.between(from, site) {
        _ if site == from => (Some(Duration::ZERO), None, Some(Duration::ZERO), Some(from.clone())),
        Some(Between::Measured(found)) => (Some(found.rtt), None, Some(found.age), Some(found.by.clone())),
        Some(Between::Estimated(found, age)) => (Some(found.rtt), Some(found.error), Some(age), None),
        None => (None, None, None, None),
    };
    let state = if site == world.here { State::Alive } else { world.distances.state(site) };
    let verdict = match (within, rtt) {
        _ if !takes_scopes(service, site) => Verdict::NoEndpoint,
        (None, _) if state == State::Dead => Verdict::Last,
        (None, _) => Verdict::In,
        _ if state == State::Dead => Verdict::Down,
        (Some(_), None) => Verdict::DistanceUnknown,
        (Some(within), Some(rtt)) if rtt > within => Verdict::OutOfRange,
        (Some(within), Some(rtt)) if rtt + error.unwrap_or_default() > within => Verdict::DistanceUnknown,
        _ => Verdict::In,
    };
    Candidate { site: site.clone(), from: from.clone(), within, rtt, error, age, by, state, verdict }
}

fn takes_scopes(service: &Service, site: &SiteName) -> bool {
    service.endpoints.get(site).is_some_and(|found| found.iter().any(|endpoint| !endpoint.https))
}

fn nobody(at: Span, service: &Service, candidates: &[Candidate]) -> Problem {
    if candidates.iter().all(|candidate| candidate.verdict == Verdict::Drained) {
        return drained(at, candidates);
    }
    let unknown = candidates.iter().any(|candidate| candidate.verdict == Verdict::DistanceUnknown);
    let code = if unknown { Code::DistanceUnknown } else { Code::NoSiteInRange };
    let asked = candidates.first().map(|first| (&first.from, first.within));
    let place = match asked {
        Some((from, Some(within))) => format!("within {} of {from}", in_ms(within)),
        _ => "known".to_owned(),
    };
    let mut problem = Problem::new(code, format!("no live site with {} is {place}; nothing was sent", service.name));
    let mut shown: Vec<String> = candidates.iter().take(SHOWN).map(Candidate::told).collect();
    if candidates.len() > SHOWN {
        shown.push(format!("and {} more", candidates.len() - SHOWN));
    }
    problem.hint = Some(format!("{}. See cheops map.", shown.join("; ")));
    problem.position = Some((at.start, at.end.saturating_sub(at.start)));
    problem
}

fn drained(at: Span, candidates: &[Candidate]) -> Problem {
    let mut sites: Vec<&str> = candidates.iter().map(|candidate| candidate.site.as_str()).collect();
    sites.dedup();
    let (sites, are) = (sites.join(", "), if sites.len() == 1 { "is" } else { "are" });
    let detail = format!("{sites} {are} drained: nothing new is created there for other sites; nothing was sent");
    let mut problem = Problem::new(Code::SiteDrained, detail);
    problem.position = Some((at.start, at.end.saturating_sub(at.start)));
    problem
}

impl Candidate {
    /// What is known of it, in words.
    pub(super) fn told(&self) -> String {
        let distance = match (self.rtt, self.age, &self.by) {
            _ if self.site == self.from => format!("{} itself", self.from),
            (Some(rtt), Some(age), Some(by)) => {
                let age = age.as_secs_f64();
                format!("{}, {} from {} ({by} measured it {age:.1} s ago)", self.site, in_ms(rtt), self.from)
            }
            (Some(rtt), _, None) => {
                let error = in_ms(self.error.unwrap_or_default());
                format!("{}, about {} from {} (estimated, ± {error})", self.site, in_ms(rtt), self.from)
            }
            _ => format!("{}, its distance from {} is unknown", self.site, self.from),
        };
        let why = match self.verdict {
            Verdict::In => "is tried".to_owned(),
            Verdict::Last => "is down, so it is tried last".to_owned(),
            Verdict::OutOfRange => {
                format!("is out of range, {} at most", self.within.map(in_ms).unwrap_or_default())
            }
            Verdict::DistanceUnknown if self.rtt.is_some() => {
                format!("is not surely in range, {} at most", self.within.map(in_ms).unwrap_or_default())
            }
            Verdict::DistanceUnknown => "can't be in range".to_owned(),
            Verdict::Down => "is down".to_owned(),
            Verdict::NoEndpoint => "has no endpoint of the service that takes scopes".to_owned(),
            Verdict::Cordoned => "is cordoned, so it is chosen for nothing new".to_owned(),
            Verdict::Drained => "is drained, so nothing new is created there for other sites".to_owned(),
        };
        format!("{distance}: {why}")
    }
}

fn in_ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    let digits = if ms < 10.0 { 2 } else { 1 };
    let text = format!("{ms:.digits$}");
    format!("{} ms", text.trim_end_matches('0').trim_end_matches('.'))
}
