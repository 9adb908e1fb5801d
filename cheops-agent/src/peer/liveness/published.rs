//! What sites publish of their distances, for those whom they don't tell it themselves: of a site that this agent doesn't
//! probe, or that doesn't answer here, its published table counts, with its age.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::metadata::latency::hearsay::{HEARSAY_TTL, Heard};
use crate::metadata::latency::{Coordinate, Distances, Placed, State};
use crate::metadata::record::{Latencies, Latency, Millis, Record, Standing};
use crate::metadata::{Key, View};
use crate::names::SiteName;
use crate::peer::table::Row;

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
    Row { site: to.clone(), state, rtt_us, usual_us, age_ms: 0, hears: latency.hears }
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
            let state = word(row.state).to_owned();
            let latency = Latency { rtt_us: row.rtt_us, usual_us: row.usual_us, state, hears: row.hears };
            (row.site.clone(), latency)
        };
        Some(Latencies {
            measured: wall,
            sites: rows.iter().map(latency).collect(),
            coordinate: coordinate.and_then(|coordinate| serde_json::to_value(coordinate).ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn measured(to: &str, rtt_us: u64, state: State) -> Row {
        Row { site: to.into(), state, rtt_us: Some(rtt_us), usual_us: None, age_ms: 0, hears: true }
    }

    fn place(micros: i32) -> Coordinate {
        serde_json::from_str(&format!("[[{micros}],1000,100]")).expect("a place")
    }

    #[test]
    fn only_news_is_published_and_not_too_often() {
        let mut publisher = Publisher::default();
        let rows = |rtt| vec![measured("Paris", rtt, State::Alive)];
        assert_eq!(publisher.due(&[], None, seconds(1), 0), None, "nothing is known yet");
        let first = publisher.due(&rows(20_000), Some(place(0)), seconds(2), 77).expect("published");
        assert_eq!((first.measured, first.sites[&SiteName::from("Paris")].rtt_us), (77, Some(20_000)));
        assert_eq!(publisher.due(&rows(90_000), Some(place(0)), seconds(11), 0), None, "too soon");
        assert!(publisher.due(&rows(90_000), Some(place(0)), seconds(12), 0).is_some());
        assert_eq!(publisher.due(&rows(91_000), Some(place(1)), seconds(60), 0), None, "no news");
        assert!(publisher.due(&rows(91_000), Some(place(9_000)), seconds(61), 0).is_some(), "it moved");
        let dead = [measured("Paris", 91_000, State::Dead)];
        assert_eq!(publisher.due(&dead, Some(place(9_000)), seconds(71), 0).map(|told| told.sites.len()), Some(1));
        assert_eq!(publisher.due(&dead, Some(place(9_000)), seconds(190), 0), None);
        assert!(
            publisher.due(&dead, Some(place(9_000)), seconds(191), 0).is_some(),
            "its age says that it is so still"
        );
    }

    fn published(view: &[(Key, Record)], silent: u64) -> Published {
        let store = crate::metadata::Store::embedded("f");
        for (key, record) in view {
            store.write(crate::metadata::transaction::Write::Put(key.clone(), record.clone())).expect("written");
        }
        Published::read(&store.view(), Some(seconds(silent)), 100_000, seconds(5))
    }

    #[test]
    fn what_is_published_counts_where_nothing_is_told() {
        let mut publisher = Publisher::default();
        let rows = [measured("Paris", 9_000, State::Dead)];
        let told = publisher.due(&rows, Some(place(3_000)), seconds(1), 98_000).expect("published");
        let lives = Record::Liveness(crate::metadata::record::Liveness { started: 1 });
        let records = [
            (Key::Latencies("Lyon".into()), Record::Latencies(told)),
            (Key::Liveness("Lyon".into(), "l1".into()), lives),
        ];
        let known = published(&records, 1);
        let (lyon, paris) = ("Lyon".into(), "Paris".into());
        assert_eq!((known.state(&lyon, seconds(6)), known.state(&paris, seconds(6))), (State::Alive, State::Unknown));
        assert_eq!(published(&records, 60).state(&lyon, seconds(6)), State::Unknown, "the cluster is away");
        let heard = known.overlay(BTreeMap::new(), seconds(6));
        assert_eq!((heard[&lyon].state, heard[&lyon].coordinate), (State::Alive, Some(place(3_000))));
        let mut distances = Distances::default();
        known.add_to(&mut distances, seconds(6));
        let found = distances.measured(&paris, &lyon).expect("Lyon's");
        // Two seconds when it was read, and one since.
        assert_eq!((found.rtt, found.age, found.state), (Duration::from_millis(9), seconds(3), State::Dead));
        assert!(found.hears, "that it is heard all the same: one direction is cut");
        let mut late = Distances::default();
        known.add_to(&mut late, seconds(400));
        assert!(late.measured(&paris, &lyon).is_none() && late.place(&lyon).is_some());
        // What Lyon tells itself is fresher.
        let mut told = Distances::default();
        let fresh = measured("Paris", 70_000, State::Alive).measured(&lyon, Duration::ZERO).expect("measured");
        told.add(&paris, fresh);
        known.add_to(&mut told, seconds(6));
        assert_eq!(told.measured(&lyon, &paris).map(|found| found.rtt), Some(Duration::from_millis(70)));
    }
}
