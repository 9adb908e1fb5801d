//! What a decision sees: distances between sites, by whom and when they were measured, and who lives.

use std::collections::BTreeMap;
use std::time::Duration;

use super::State;
use super::track::TTL;
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

/// All distances that are known now, and how each site stands as seen from here. What is missing is unknown, not zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distances {
    measured: BTreeMap<SiteName, BTreeMap<SiteName, Measured>>,
    states: BTreeMap<SiteName, State>,
    told: BTreeMap<SiteName, Standing>,
}

impl Distances {
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

    /// How the site stands.
    pub fn stands(&mut self, site: &SiteName, state: State) {
        self.states.insert(site.clone(), state);
    }

    /// How the site stands, as seen from here.
    pub fn state(&self, site: &SiteName) -> State {
        self.states.get(site).copied().unwrap_or_default()
    }

    /// One of the site's agents said how the site takes part. Of several the strictest counts.
    pub fn takes_part(&mut self, site: &SiteName, standing: Standing) {
        let told = self.told.entry(site.clone()).or_default();
        *told = standing.max(*told);
    }

    /// How the site takes part, as its own agents said a moment ago.
    pub fn standing(&self, site: &SiteName) -> Standing {
        self.told.get(site).copied().unwrap_or_default()
    }

    /// What `from` measured.
    pub fn measured_by(&self, from: &SiteName) -> impl Iterator<Item = (&SiteName, &Measured)> {
        self.measured.get(from).into_iter().flatten()
    }

    /// Between two different sites: what `from` measured, else what `to` did, since a round trip is as long either way.
    pub fn between(&self, from: &SiteName, to: &SiteName) -> Option<&Measured> {
        let one_way = |from, to| self.measured.get(from).and_then(|row| row.get(to));
        one_way(from, to).or_else(|| one_way(to, from))
    }
}
