//! What sites publish of their distances, for those whom they don't tell it themselves: of a site that this agent doesn't
//! probe, or that doesn't answer here, its published table counts, with its age.

use std::collections::BTreeMap;
use std::time::Duration;

use super::table::Row;
use crate::metadata::latency::hearsay::{HEARSAY_TTL, Heard};
use crate::metadata::latency::{Coordinate, Distances, Placed, State};
use crate::metadata::record::{Latencies, Latency, Millis, Record, Standing};
use crate::metadata::{Key, View};
use crate::names::SiteName;

/// A site publishes this often at most, and at least.
const SOONEST: Duration = Duration::from_secs(10);
const LATEST: Duration = Duration::from_secs(120);
/// A site's place is worth something for much longer than its distances.
const PLACE_TTL: Duration = Duration::from_secs(3600);
/// What the metadata cluster says of who lives counts as long as it gave a sign of life within this.
const CLUSTER_SILENT: Duration = Duration::from_secs(30);

/// What the sites published.
#[derive(Default)]
pub(super) struct Published {
    sites: BTreeMap<SiteName, Site>,
    /// When all this was read.
    read: Duration,
}

#[derive(Default)]
struct Site {
    rows: Vec<Row>,
    coordinate: Option<Coordinate>,
    /// How old it was when it was read.
    old: Duration,
    /// The metadata cluster says that one of its agents lives.
    lives: bool,
}

impl Published {
    /// Reads what is known of the records. `silent`: since the backend gave a sign of life; `wall`: what the time is.
    pub(super) fn read(view: &View, silent: Option<Duration>, wall: Millis, now: Duration) -> Self {
        let mut sites: BTreeMap<SiteName, Site> = BTreeMap::new();
        let heard = silent.is_some_and(|silent| silent < CLUSTER_SILENT);
        for (key, record) in view.iter() {
            match (key, record) {
                (Key::Latencies(site), Record::Latencies(told)) => {
                    let one = sites.entry(site.clone()).or_default();
                    one.old = Duration::from_millis(wall.saturating_sub(told.measured));
                    let place = told.coordinate.clone();
                    one.coordinate = place.and_then(|place| serde_json::from_value(place).ok());
                    one.rows = told.sites.iter().map(|(to, latency)| row(to, latency)).collect();
                }
                (Key::Liveness(site, _), _) if heard => sites.entry(site.clone()).or_default().lives = true,
                _ => {}
            }
        }
        Self { sites, read: now }
    }

    fn age(&self, site: &Site, now: Duration) -> Duration {
        site.old.saturating_add(now.saturating_sub(self.read))
    }

    /// How the site stands, as far as the metadata cluster knows: one that can't reach it may live all the same.
    pub(super) fn state(&self, site: &SiteName, now: Duration) -> State {
        let lives = self.sites.get(site).is_some_and(|site| site.lives);
        let fresh = now.saturating_sub(self.read) < HEARSAY_TTL;
        if lives && fresh { State::Alive } else { State::Unknown }
    }

    /// Puts it where hearsay knows nothing.
    pub(super) fn overlay(&self, mut heard: BTreeMap<SiteName, Heard>, now: Duration) -> BTreeMap<SiteName, Heard> {
        for (name, site) in &self.sites {
            let age = self.age(site, now);
            let coordinate = site.coordinate.filter(|_| age < PLACE_TTL);
            let nothing = Heard { state: State::Unknown, coordinate: None, standing: Standing::Active, age };
            let known = heard.entry(name.clone()).or_insert(nothing);
            if known.state == State::Unknown {
                known.state = self.state(name, now);
            }
            if known.coordinate.is_none() {
                (known.coordinate, known.age) = (coordinate, age);
            }
        }
        heard
    }

    /// Adds what sites published that tell nothing themselves.
    pub(super) fn add_to(&self, distances: &mut Distances, now: Duration) {
        for (by, site) in &self.sites {
            if distances.measured_by(by).next().is_some() {
                continue;
            }
            let age = self.age(site, now);
            for row in site.rows.iter().filter(|row| row.site != *by) {
                if let Some(measured) = row.measured(by, age) {
                    distances.add_published(&row.site, measured);
                }
            }
            if let (Some(at), None) = (site.coordinate.filter(|_| age < PLACE_TTL), distances.place(by)) {
                distances.lies(by, Placed { at, age });
            }
        }
    }
}

fn row(to: &SiteName, latency: &Latency) -> Row {
    let state = match latency.state.as_str() {
        "alive" => State::Alive,
        "suspect" => State::Suspect,
        "dead" => State::Dead,
        _ => State::Unknown,
    };
    let (rtt_us, usual_us) = (latency.rtt_us, latency.usual_us);
    Row { site: to.clone(), state, rtt_us, usual_us, age_ms: 0, hears: false }
}

fn word(state: State) -> &'static str {
    match state {
        State::Alive => "alive",
        State::Suspect => "suspect",
        State::Unknown => "unknown",
        State::Dead => "dead",
    }
}

/// Decides when the own site's distances are published: when something is news, but not more often than is good for the
/// metadata cluster.
#[derive(Debug, Default)]
pub struct Publisher {
    last: Option<(Vec<Row>, Option<Coordinate>, Duration)>,
}

impl Publisher {
    /// What is to be published at `now`, if anything is; `wall` is what the time is.
    pub fn due(
        &mut self,
        rows: &[Row],
        coordinate: Option<Coordinate>,
        now: Duration,
        wall: Millis,
    ) -> Option<Latencies> {
        if let Some((told, place, at)) = &self.last {
            let since = now.saturating_sub(*at);
            let moved = match (&coordinate, place) {
                (Some(is), Some(told)) => is.moved(told),
                (is, told) => is.is_some() != told.is_some(),
            };
            let news = told.len() != rows.len() || told.iter().zip(rows).any(|(told, is)| is.is_news(told)) || moved;
            if since < SOONEST || (!news && since < LATEST) {
                return None;
            }
        } else if rows.is_empty() {
            return None;
        }
        self.last = Some((rows.to_vec(), coordinate, now));
        let latency = |row: &Row| {
            let latency = Latency { rtt_us: row.rtt_us, usual_us: row.usual_us, state: word(row.state).to_owned() };
            (row.site.clone(), latency)
        };
        Some(Latencies {
            measured: wall,
            sites: rows.iter().map(latency).collect(),
            coordinate: coordinate.and_then(|coordinate| serde_json::to_value(coordinate).ok()),
        })
    }
}
