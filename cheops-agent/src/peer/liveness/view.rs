//! What is read from the board.

use std::sync::Arc;
use std::time::Duration;

use super::board::{Board, LAST_WORD};
use super::status::PeerStatus;
use crate::metadata::Distances;
use crate::metadata::latency::{Placed, State};
use crate::names::SiteName;

/// What is known by hearsay is put together this often.
const HEARD_AGAIN: Duration = Duration::from_secs(1);

impl Board {
    /// How the agent stands.
    pub(super) fn state(&self, site: &SiteName, address: &str) -> Option<State> {
        self.agents.get(&(site.clone(), address.to_owned())).map(|agent| agent.state(self.now))
    }

    /// What is known of each agent that is probed.
    pub fn peers(&self) -> Vec<(SiteName, String, PeerStatus)> {
        let all = self.agents.iter();
        all.map(|((site, address), agent)| (site.clone(), address.clone(), agent.status(self.now))).collect()
    }

    /// What is known of the site, by its nearest agent that lives best; by hearsay, if it isn't probed or has yet to
    /// answer for the first time.
    pub fn site(&self, site: &SiteName) -> PeerStatus {
        let mut status = self.measured(site);
        if status.state == State::Unknown {
            let heard = self.by_hearsay(site);
            (status.state, status.hearsay) = (heard.state, heard.hearsay);
            status.deaf &= heard.state != State::Alive;
        }
        status
    }

    /// The same, as far as it was found out here: unknown if the site isn't probed.
    pub(super) fn measured(&self, site: &SiteName) -> PeerStatus {
        let best = self
            .of(site)
            .map(|agent| agent.status(self.now))
            .min_by_key(|status| (status.state, status.rtt_min.is_none(), status.rtt_min));
        let mut best = best.unwrap_or_default();
        let heard = self.ears.of(site);
        best.heard = heard.last.map(|last| self.now.saturating_sub(last));
        best.loss_in = heard.loss.share();
        best.deaf = match best.state {
            State::Alive => best.deaf,
            _ => heard.deaf && best.hears(),
        };
        best.lives_elsewhere = best.state == State::Dead && self.lives_elsewhere(site, &best);
        best
    }

    /// Whether word of its life began after it fell silent here.
    fn lives_elsewhere(&self, site: &SiteName, status: &PeerStatus) -> bool {
        let Some(word) = self.hearsay.word(site, self.now) else { return false };
        let silent = status.age.unwrap_or(self.now);
        let age = Duration::from_secs(word.age.into());
        self.hearsay.state(site, self.now) == State::Alive && age + LAST_WORD < silent
    }

    fn by_hearsay(&self, site: &SiteName) -> PeerStatus {
        let word = self.hearsay.word(site, self.now).map(|word| Duration::from_secs(word.age.into()));
        let state = match self.hearsay.state(site, self.now) {
            State::Unknown => self.published.state(site, self.now),
            state => state,
        };
        PeerStatus { state, hearsay: word.filter(|_| state != State::Unknown), ..PeerStatus::default() }
    }

    /// All that a decision needs.
    pub fn distances(&mut self) -> Distances {
        let rows = self.review();
        let now = self.now;
        if self.heard_at.is_none_or(|at| now.saturating_sub(at) >= HEARD_AGAIN) {
            self.heard = Arc::new(self.published.overlay(self.hearsay.all(now), now));
            self.heard_at = Some(now);
        }
        let mut distances = Distances::new(self.heard.clone());
        let Some(here) = &self.here else { return distances };
        if let Some(at) = self.place.coordinate() {
            distances.lies(here, Placed { at, age: Duration::ZERO });
        }
        for row in &rows {
            if row.state != State::Unknown {
                distances.stands(&row.site, row.state);
            }
            if let Some(measured) = row.measured(here, Duration::ZERO) {
                distances.add(&row.site, measured);
            }
        }
        for ((by, _), agent) in self.agents.iter().filter(|((site, _), _)| site != here) {
            if let Some(standing) = agent.standing(now) {
                distances.takes_part(by, standing);
            }
            let Some((table, told)) = &agent.tells else { continue };
            let told = now.saturating_sub(*told);
            if let Some(at) = agent.place {
                distances.lies(by, Placed { at, age: agent.track.age(now).unwrap_or_default() });
            }
            let known = |site: &SiteName| site != by && (site == here || self.sites.contains_key(site));
            for row in table.rows.iter().filter(|row| known(&row.site)) {
                if let Some(measured) = row.measured(by, told) {
                    distances.add(&row.site, measured);
                }
            }
        }
        self.published.add_to(&mut distances, now);
        distances
    }
}
