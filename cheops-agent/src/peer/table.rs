//! The distances that agents tell each other: each its own measurements.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::metadata::latency::{Measured, State};
use crate::names::SiteName;

/// Rows that are told, the nearest first, and that are believed.
pub(in crate::peer) const MOST_ROWS: usize = 256;

/// An agent's distances to other sites.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// A higher number for other content.
    pub version: u64,
    /// These are only the rows that are new since that version, which the asker knows; else all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    pub rows: Vec<Row>,
    /// Sites that are in it no more since then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<SiteName>,
}

impl Table {
    /// What `told` makes of this table; none if it belongs to another.
    pub(in crate::peer) fn with(self, told: Self) -> Option<Self> {
        let mut rows = match told.after {
            None => BTreeMap::new(),
            Some(after) if after == self.version => by_site(self.rows),
            Some(_) => return None,
        };
        rows.retain(|site, _| !told.gone.contains(site));
        rows.extend(by_site(told.rows));
        let rows = rows.into_values().take(MOST_ROWS).collect();
        Some(Self { version: told.version, rows, ..Self::default() })
    }
}

fn by_site(rows: Vec<Row>) -> BTreeMap<SiteName, Row> {
    rows.into_iter().take(MOST_ROWS).map(|row| (row.site.clone(), row)).collect()
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
    /// Whether it is worth telling again, after `told`.
    pub(in crate::peer) fn is_news(&self, told: &Self) -> bool {
        let differs = match (self.rtt_us, told.rtt_us) {
            (Some(is), Some(was)) => is.abs_diff(was) > (was / DIFFERS).max(DIFFERS_US),
            (is, was) => is.is_some() != was.is_some(),
        };
        differs || (&self.site, self.state, self.hears) != (&told.site, told.state, told.hears)
    }

    /// What it says that `by` told `told` ago.
    pub(in crate::peer) fn measured(&self, by: &SiteName, told: Duration) -> Option<Measured> {
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
