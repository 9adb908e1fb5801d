//! What a decision sees: distances between sites, by whom and when they were measured, and who lives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::hearsay::{HEARSAY_TTL, Heard};
use super::track::TTL;
use super::{Coordinate, Estimate, State};
use crate::metadata::record::Standing;
use crate::names::SiteName;

/// A round trip between two sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The least of the last seconds.
    pub rtt: Duration,
    /// The usual one.
    pub usual: Duration,
    /// Since it was last measured.
    pub age: Duration,
    /// The site that measured it.
    pub by: SiteName,
    /// How `by` sees the other.
    pub state: State,
    /// Whether the other's probes come to `by`.
    pub hears: bool,
}

/// Where a site says that it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub at: Coordinate,
    /// Since it said so.
    pub age: Duration,
}

/// How far one site is from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between<'a> {
    Measured(&'a Measured),
    /// Nobody measured it: what follows from where both lie, and the age of the older place.
    Estimated(Estimate, Duration),
}

/// All distances that are known now, and how each site stands as seen from here. What is missing is unknown, not zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distances {
    measured: BTreeMap<SiteName, BTreeMap<SiteName, Measured>>,
    /// Of sites that are probed.
    states: BTreeMap<SiteName, State>,
    told: BTreeMap<SiteName, Standing>,
    /// Of all others.
    heard: Arc<BTreeMap<SiteName, Heard>>,
    places: BTreeMap<SiteName, Placed>,
}

impl Distances {
    /// With what is known by hearsay of sites that aren't probed.
    pub fn new(heard: Arc<BTreeMap<SiteName, Heard>>) -> Self {
        Self { heard, ..Self::default() }
    }

    /// `by` measured the way to `to`. Of several hosts of a site the nearest counts; what is too old doesn't.
    pub fn add(&mut self, to: &SiteName, measured: Measured) {
        if measured.age >= TTL {
            return;
        }
        let row = self.measured.entry(measured.by.clone()).or_default();
        match row.get(to) {
            Some(known) if (known.state, known.rtt) <= (measured.state, measured.rtt) => {}
            _ => {
                row.insert(to.clone(), measured);
            }
        }
    }

    /// What `by` published of its way to `to`: counts as long as `by` tells nothing itself, and longer.
    pub fn add_published(&mut self, to: &SiteName, measured: Measured) {
        if measured.age < HEARSAY_TTL {
            self.measured.entry(measured.by.clone()).or_default().entry(to.clone()).or_insert(measured);
        }
    }

    /// Where the site lies, by fresher word than hearsay.
    pub fn lies(&mut self, site: &SiteName, placed: Placed) {
        self.places.insert(site.clone(), placed);
    }

    /// How the site stands.
    pub fn stands(&mut self, site: &SiteName, state: State) {
        self.states.insert(site.clone(), state);
    }

    /// How the site stands, as seen from here.
    pub fn state(&self, site: &SiteName) -> State {
        let heard = || self.heard.get(site).map(|heard| heard.state);
        self.states.get(site).copied().or_else(heard).unwrap_or_default()
    }

    /// Where the site lies.
    pub fn place(&self, site: &SiteName) -> Option<Placed> {
        let heard = || {
            let heard = self.heard.get(site)?;
            Some(Placed { at: heard.coordinate?, age: heard.age })
        };
        self.places.get(site).copied().or_else(heard)
    }

    /// One of the site's agents said how the site takes part. Of several the strictest counts.
    pub fn takes_part(&mut self, site: &SiteName, standing: Standing) {
        let told = self.told.entry(site.clone()).or_default();
        *told = standing.max(*told);
    }

    /// How the site takes part, as its own agents said a moment ago, or by hearsay.
    pub fn standing(&self, site: &SiteName) -> Standing {
        let heard = || self.heard.get(site).map(|heard| heard.standing);
        self.told.get(site).copied().or_else(heard).unwrap_or_default()
    }

    /// What `from` measured.
    pub fn measured_by(&self, from: &SiteName) -> impl Iterator<Item = (&SiteName, &Measured)> {
        self.measured.get(from).into_iter().flatten()
    }

    /// Between two different sites: what `from` measured, else what `to` did, since a round trip is as long either way.
    pub fn measured(&self, from: &SiteName, to: &SiteName) -> Option<&Measured> {
        let one_way = |from, to| self.measured.get(from).and_then(|row| row.get(to));
        one_way(from, to).or_else(|| one_way(to, from))
    }

    /// Between two different sites: what was measured, else what follows from their places, else nothing.
    pub fn between(&self, from: &SiteName, to: &SiteName) -> Option<Between<'_>> {
        let found = |site| self.place(site).filter(|place| place.at.is_found());
        let estimated = || {
            let (from, to) = (found(from)?, found(to)?);
            Some(Between::Estimated(from.at.to(&to.at), from.age.max(to.age)))
        };
        self.measured(from, to).map(Between::Measured).or_else(estimated)
    }
}
