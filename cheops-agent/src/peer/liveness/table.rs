//! What an agent tells its peers of the other sites: its own measurements, and nothing that it has by hearsay.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::metadata::latency::State;
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

impl Row {
    /// What makes a row worth telling again: its state, and a distance that differs by some hundredths.
    pub(super) fn gist(&self) -> (&SiteName, State, bool, Option<i64>) {
        let step = |us: u64| ((us.max(1) as f64).ln() * 32.0) as i64;
        (&self.site, self.state, self.hears, self.rtt_us.map(step))
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt_us.map(Duration::from_micros)
    }
}
