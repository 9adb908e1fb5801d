//! What an agent tells its peers of the other sites: its own measurements, and nothing that it has by hearsay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::status::PeerStatus;
use crate::names::SiteName;
use crate::peer::table::{MOST_ROWS, Row, Table};

/// What an agent tells, and since when each of it is so.
#[derive(Debug)]
pub(super) struct Telling {
    rows: BTreeMap<SiteName, (Row, u64)>,
    gone: BTreeMap<SiteName, u64>,
    /// Numbers of another run of this agent are no numbers of this one.
    first: u64,
    version: u64,
}

impl Telling {
    /// Nothing yet. `run` tells this run of the agent from any other.
    pub(super) fn new(run: u32) -> Self {
        let first = (u64::from(run) << 31) + 1;
        Self { rows: BTreeMap::new(), gone: BTreeMap::new(), first, version: first }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// This is so now. What differs little from what was told is no news.
    pub(super) fn tell(&mut self, rows: &[Row]) {
        let next = self.version + 1;
        let mut nearest: Vec<&Row> = rows.iter().collect();
        if nearest.len() > MOST_ROWS {
            nearest.sort_by_key(|row| (row.rtt_us.is_none(), row.rtt_us));
            nearest.truncate(MOST_ROWS);
        }
        for row in &nearest {
            if self.rows.get(&row.site).is_none_or(|(told, _)| row.is_news(told)) {
                self.rows.insert(row.site.clone(), ((*row).clone(), next));
                self.gone.remove(&row.site);
                self.version = next;
            }
        }
        if self.rows.len() > nearest.len() {
            let is: BTreeSet<&SiteName> = nearest.iter().map(|row| &row.site).collect();
            let left: Vec<SiteName> = self.rows.keys().filter(|site| !is.contains(site)).cloned().collect();
            for site in left {
                self.rows.remove(&site);
                self.gone.insert(site, next);
            }
            self.version = next;
        }
        while self.gone.len() > MOST_ROWS {
            // Who asks for what was before the oldest of these is told all.
            let Some((oldest, at)) = self.gone.iter().min_by_key(|(_, at)| **at).map(|(site, at)| (site.clone(), *at))
            else {
                return;
            };
            self.gone.remove(&oldest);
            self.first = at;
        }
    }

    /// What an asker is told that knows the version `known`; nothing if there is no news.
    pub(super) fn since(&self, known: u64) -> Option<Table> {
        if known == self.version {
            return None;
        }
        let after = (self.first..self.version).contains(&known).then_some(known);
        let new = |at: u64| after.is_none_or(|after| at > after);
        let rows = self.rows.values().filter(|(_, at)| new(*at)).map(|(row, _)| row.clone()).collect();
        let gone = self.gone.iter().filter(|(_, at)| after.is_some() && new(**at)).map(|(site, _)| site.clone());
        Some(Table { version: self.version, after, rows, gone: gone.collect() })
    }
}

impl PeerStatus {
    /// What is told of a site that is probed.
    pub(super) fn row(&self, site: &SiteName) -> Row {
        let micros = |time: Option<Duration>| time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        Row {
            site: site.clone(),
            state: self.state,
            rtt_us: micros(self.rtt_min),
            usual_us: micros(self.rtt),
            age_ms: self.age.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            hears: self.hears(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::latency::State;

    fn row(site: &str, rtt_us: u64) -> Row {
        Row { site: site.into(), state: State::Alive, rtt_us: Some(rtt_us), usual_us: None, age_ms: 0, hears: true }
    }

    #[test]
    fn only_what_changed_is_told_to_who_knows_the_rest() {
        let mut telling = Telling::new(7);
        telling.tell(&[row("Lyon", 9_000), row("Paris", 20_000)]);
        let whole = telling.since(0).expect("all");
        assert_eq!((whole.after, whole.rows.len()), (None, 2));
        let known = Table::default().with(whole).expect("a whole table");
        assert_eq!(telling.since(known.version), None);
        telling.tell(&[row("Lyon", 9_050), row("Paris", 20_000)]);
        assert_eq!(telling.since(known.version), None, "that is no news");
        telling.tell(&[row("Nantes", 7_000), row("Paris", 40_000)]);
        let news = telling.since(known.version).expect("news");
        assert_eq!((news.rows.len(), news.gone.as_slice()), (2, &["Lyon".into()][..]));
        let known = known.with(news.clone()).expect("it follows");
        assert_eq!(known.rows, [row("Nantes", 7_000), row("Paris", 40_000)]);
        assert_eq!(known.version, telling.version());
        // What follows another version, or another run's, is of no use.
        assert_eq!(Table::default().with(news), None);
        let mut again = Telling::new(8);
        again.tell(&[row("Lyon", 1)]);
        assert_eq!(again.since(known.version).map(|table| table.after), Some(None));
    }

    #[test]
    fn sites_that_are_gone_are_not_remembered_for_ever() {
        let mut telling = Telling::new(1);
        telling.tell(&[row("Paris", 1)]);
        let early = telling.version();
        for number in 0..1000 {
            telling.tell(&[row(&format!("S{number}"), 1)]);
        }
        assert!(telling.gone.len() <= MOST_ROWS);
        assert_eq!(telling.since(early).map(|table| (table.after, table.rows.len())), Some((None, 1)));
    }
}
