//! What an agent tells its peers of the other sites: its own measurements, and nothing that it has by hearsay.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::status::PeerStatus;
use crate::metadata::latency::{Measured, State};
use crate::names::SiteName;

/// Rows that are told, the nearest first, and that are believed.
pub(in crate::peer) const MOST_ROWS: usize = 256;

/// An agent's distances to other sites.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Another number for other content.
    pub version: u64,
    pub rows: Vec<Row>,
}

/// The distance to one site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    pub site: SiteName,
    pub state: State,
    /// The least round trip of the last seconds, and the usual one, in microseconds; absent when unknown.
    pub rtt_us: Option<u64>,
    pub usual_us: Option<u64>,
    /// Since it was last measured.
    pub age_ms: u64,
    /// Whether that site's probes come to this one.
    pub hears: bool,
}

/// A distance that differs by a part of this from what was told is news, if it differs by more than that.
const DIFFERS: u64 = 16;
const DIFFERS_US: u64 = 200;

impl Row {
    /// What is told of a site that is probed.
    pub(super) fn new(site: &SiteName, status: &PeerStatus) -> Self {
        let micros = |time: Option<Duration>| time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        Self {
            site: site.clone(),
            state: status.state,
            rtt_us: micros(status.rtt_min),
            usual_us: micros(status.rtt),
            age_ms: status.age.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            hears: status.hears(),
        }
    }

    /// Whether it is worth telling again, after `told`.
    pub(super) fn is_news(&self, told: &Self) -> bool {
        let differs = match (self.rtt_us, told.rtt_us) {
            (Some(is), Some(was)) => is.abs_diff(was) > (was / DIFFERS).max(DIFFERS_US),
            (is, was) => is.is_some() != was.is_some(),
        };
        differs || (&self.site, self.state, self.hears) != (&told.site, told.state, told.hears)
    }

    /// What it says that `by` told `told` ago.
    pub(super) fn measured(&self, by: &SiteName, told: Duration) -> Option<Measured> {
        let rtt = Duration::from_micros(self.rtt_us?);
        Some(Measured {
            rtt,
            usual: self.usual_us.map_or(rtt, Duration::from_micros),
            age: Duration::from_millis(self.age_ms).saturating_add(told),
            by: by.clone(),
            state: self.state,
            hears: self.hears,
        })
    }
}
