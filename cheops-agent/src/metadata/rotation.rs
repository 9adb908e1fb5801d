//! How a federation's authority is replaced by another without interruption: what is to be done next.
//!
//! First the new authority is believed besides the old one, by everybody; then it signs, and each host has its
//! certificate renewed and its records signed anew; then the old one is believed no more. How far that is stands in the
//! federation's record, so that it goes on wherever it was cut. What is said here needs no key and asks nobody.
//!
//! The record itself is signed by the old authority until the last step, so that a host that was away is told of the new
//! one by the one that it knows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::key::Key;
use super::record::{Federation, HostRecord, Millis, Phase, Record, Rotation};
use super::revoke;
use super::store::View;
use crate::names::{HostName, SiteName};

/// How long after a certificate was renewed links may be left that were made with the one of before, in milliseconds: probes
/// make them anew, and what is asked over one that is ended would fail.
const SETTLES: Millis = 15_000;

/// What a host still lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lack {
    /// It doesn't believe the new authority yet.
    Trust,
    /// Its certificate is by the old authority.
    Certificate,
    /// Its certificate was renewed just now: links of before are still there.
    Links,
    /// Something that its site has written is signed by a certificate of the old authority.
    Records,
}

impl Lack {
    /// In words.
    pub fn told(self) -> &'static str {
        match self {
            Self::Trust => "doesn't believe the new authority yet",
            Self::Certificate => "has a certificate of the old authority",
            Self::Links => "makes its links anew",
            Self::Records => "has records that are signed under the old authority",
        }
    }
}

/// A host that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Missing {
    pub site: SiteName,
    pub host: HostName,
    pub lacks: Lack,
    /// Whether it lives, as far as the cluster knows.
    pub lives: bool,
    /// Until when it is waited for at the longest, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, before these have followed.
    Wait(Vec<Missing>),
    /// The new authority signs from now on.
    Renew,
    /// The old one is believed no more.
    Finish,
}

impl Rotation {
    /// What `view` lacks for the next step.
    pub fn missing(&self, view: &View, now: Millis) -> Vec<Missing> {
        let hosts = hosts(view);
        let mut missing = Vec::new();
        for (&(site, host), (record, lives)) in &hosts {
            if let Some((lacks, until)) = self.lacks(*record, *lives, now) {
                missing.push(Missing { site: site.clone(), host: host.clone(), lacks, lives: *lives, until });
            }
        }
        if self.phase == Phase::Renewing {
            let worn: BTreeSet<&SiteName> = view.worn().filter_map(Key::site).collect();
            let waited = |site: &SiteName, host: &HostName| {
                missing.iter().any(|missing| missing.site == *site && missing.host == *host)
            };
            let more: Vec<Missing> = hosts
                .iter()
                .filter(|((site, host), (_, lives))| *lives && worn.contains(site) && !waited(site, host))
                .map(|(&(site, host), _)| Missing {
                    site: site.clone(),
                    host: host.clone(),
                    lacks: Lack::Records,
                    lives: true,
                    until: None,
                })
                .collect();
            missing.extend(more);
        }
        missing
    }

    /// What is to be done next; `force` waits for nobody.
    pub fn step(&self, view: &View, now: Millis, force: bool) -> Step {
        let missing = self.missing(view, now);
        match self.phase {
            // Nobody is missing in what isn't known.
            _ if !view.complete => Step::Wait(missing),
            _ if !force && !missing.is_empty() => Step::Wait(missing),
            Phase::Spreading => Step::Renew,
            Phase::Renewing => Step::Finish,
        }
    }

    fn lacks(&self, record: Option<&HostRecord>, lives: bool, now: Millis) -> Option<(Lack, Option<Millis>)> {
        let certificate = record.and_then(|record| record.certificate.as_ref());
        match self.phase {
            // Who is away is told when it is back.
            Phase::Spreading if !lives => None,
            Phase::Spreading => {
                let trusts = record.is_some_and(|record| record.trusts.contains(&self.to));
                (!trusts).then_some((Lack::Trust, None))
            }
            // Who lives and has told nothing may have anything.
            Phase::Renewing => match certificate {
                Some(certificate) if certificate.authority != self.from => {
                    let settled = revoke::issued(&certificate.serial).map(|issued| issued.saturating_add(SETTLES));
                    settled.filter(|settled| lives && *settled > now).map(|settled| (Lack::Links, Some(settled)))
                }
                Some(certificate) if certificate.expires <= now => None,
                Some(certificate) => Some((Lack::Certificate, Some(certificate.expires))),
                None => lives.then_some((Lack::Certificate, None)),
            },
        }
    }
}

impl Federation {
    /// The record with which another authority begins to be believed; `bridge` is what lets those recognise it that know
    /// the old one by its fingerprint alone.
    #[must_use]
    pub fn rotating(&self, new: &str, (from, to): (String, String), bridge: Vec<String>, now: Millis) -> Self {
        let mut authorities = self.authorities.clone();
        authorities.push(new.to_owned());
        let rotation = Rotation { phase: Phase::Spreading, from, to, begun: now, since: now };
        Self { authorities, bridge, rotation: Some(rotation), ..self.clone() }
    }

    /// The record after that step; nothing where there is none to take.
    pub fn after(&self, step: &Step, now: Millis) -> Option<Self> {
        let rotation = self.rotation.as_ref()?;
        let mut authorities = self.authorities.clone();
        match (step, rotation.phase) {
            (Step::Renew, Phase::Spreading) => {
                authorities.reverse();
                let rotation = Some(Rotation { phase: Phase::Renewing, since: now, ..rotation.clone() });
                Some(Self { authorities, rotation, ..self.clone() })
            }
            (Step::Finish, Phase::Renewing) => {
                authorities.truncate(1);
                Some(Self { authorities, rotation: None, ..self.clone() })
            }
            _ => None,
        }
    }
}

type Hosts<'a> = BTreeMap<(&'a SiteName, &'a HostName), (Option<&'a HostRecord>, bool)>;

/// The hosts that are known: what each says of itself, and whether it lives.
fn hosts(view: &View) -> Hosts<'_> {
    let mut hosts = Hosts::new();
    for (key, record) in view.iter() {
        match (key, record) {
            (Key::Host(site, host), Record::Host(record)) => {
                hosts.entry((site, host)).or_default().0 = Some(record);
            }
            (Key::Liveness(site, host), _) => hosts.entry((site, host)).or_default().1 = true,
            _ => {}
        }
    }
    hosts
}

#[cfg(test)]
mod tests;
