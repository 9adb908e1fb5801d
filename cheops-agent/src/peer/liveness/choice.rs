//! Which sites are probed, where there are more than can be: the nearest, a sample, and those that requests go to.
//!
//! The nearest are what requests are likely to want. Two more follow this site in the order of names, so that
//! there is no site that nobody probes; six are drawn, and drawn anew after a minute each, so that far sites are
//! measured from everywhere and word has short ways. What one agent sends is thus the same among a hundred sites and among
//! a thousand. A site that is dead by all accounts keeps no place but in the sample.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{Rng, RngExt as _};

use crate::config::Probes;
use crate::names::SiteName;

/// How long a site that was drawn stays.
const DRAWN: Duration = Duration::from_secs(60);
/// How long a site is probed after a request went there, and how many such sites are.
const REQUESTED: Duration = Duration::from_secs(60);
const MOST_REQUESTED: usize = 64;
/// Between two choices.
const AGAIN: Duration = Duration::from_secs(10);
/// A site that is probed is left for another only if that is nearer by a fifth.
const KEPT: f64 = 0.8;
/// Sites that are asked for word of others.
const SOURCES: usize = 4;

/// Sites that are probed, but for those that requests go to.
fn most(reach: &Probes) -> usize {
    reach.nearest.saturating_add(reach.successors).saturating_add(reach.sample)
}

/// A site that might be probed.
pub(super) struct Other<'a> {
    pub(super) site: &'a SiteName,
    /// As far as it is known.
    pub(super) distance: Option<Duration>,
    /// Dead by all accounts, and for some time.
    pub(super) gone: bool,
}

/// What was chosen.
#[derive(Default)]
pub(super) struct Choice {
    pub(super) reach: Probes,
    made: Option<Duration>,
    nearest: BTreeSet<SiteName>,
    successors: Vec<SiteName>,
    drawn: Vec<(SiteName, Duration)>,
    requested: BTreeMap<SiteName, Duration>,
    /// All, since there are few.
    all: bool,
}

impl Choice {
    /// Whether it is time to choose.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.made.is_none_or(|made| now.saturating_sub(made) >= AGAIN)
    }

    /// Chooses again as soon as may be: the sites changed.
    pub(super) fn again(&mut self) {
        self.made = None;
    }

    /// A request goes there.
    pub(super) fn requested(&mut self, site: &SiteName, now: Duration) {
        if let Some(last) = self.requested.get_mut(site) {
            *last = now;
            return;
        }
        if self.requested.len() >= MOST_REQUESTED {
            self.requested.retain(|_, last| now.saturating_sub(*last) < REQUESTED);
        }
        if self.requested.len() < MOST_REQUESTED {
            self.requested.insert(site.clone(), now);
        }
    }

    /// The sites that are to be probed; none if all are, since there are few.
    pub(super) fn chosen(&self, now: Duration) -> Option<BTreeSet<SiteName>> {
        let requested = self.requested.iter().filter(|(_, last)| now.saturating_sub(**last) < REQUESTED);
        let drawn = self.drawn.iter().map(|(site, _)| site);
        let all = self.nearest.iter().chain(&self.successors).chain(drawn).chain(requested.map(|(site, _)| site));
        (!self.all).then(|| all.cloned().collect())
    }

    /// Whether the site is asked for word of others.
    pub(super) fn is_source(&self, site: &SiteName) -> bool {
        let drawn = self.drawn.iter().map(|(site, _)| site);
        self.successors.iter().chain(drawn).take(SOURCES).any(|source| source == site)
    }

    /// Chooses among the others, which come in the order of names. `here` is the own site.
    pub(super) fn choose(&mut self, here: &SiteName, others: &[Other<'_>], now: Duration, random: &mut impl Rng) {
        self.made = Some(now);
        self.all = others.len() <= most(&self.reach);
        let (before, after): (Vec<_>, Vec<_>) =
            others.iter().filter(|other| !other.gone).map(|other| other.site).partition(|site| *site < here);
        let successors = after.into_iter().chain(before).take(self.reach.successors);
        self.successors = successors.cloned().collect();
        self.choose_nearest(others);
        self.draw(others, now, random);
    }

    fn choose_nearest(&mut self, others: &[Other<'_>]) {
        let far = |site: &SiteName, distance: Duration| {
            distance.as_secs_f64() * if self.nearest.contains(site) { KEPT } else { 1.0 }
        };
        let alive = others.iter().filter(|other| !other.gone);
        let mut known: Vec<_> =
            alive.filter_map(|other| Some((far(other.site, other.distance?), other.site))).collect();
        known.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        self.nearest = known.into_iter().take(self.reach.nearest).map(|(_, site)| site.clone()).collect();
    }

    fn draw(&mut self, others: &[Other<'_>], now: Duration, random: &mut impl Rng) {
        // As long as distances are unknown, more are drawn.
        let unknown = self.reach.nearest.saturating_sub(self.nearest.len());
        let places = self.reach.sample.saturating_add(unknown);
        let mut left: Vec<&SiteName> = others.iter().map(|other| other.site).collect();
        let first = self.drawn.is_empty();
        self.drawn.retain(|(site, since)| now.saturating_sub(*since) < DRAWN && left.binary_search(&site).is_ok());
        self.drawn.truncate(places);
        left.retain(|site| {
            let taken = |(drawn, _): &(SiteName, Duration)| drawn == *site;
            !self.nearest.contains(*site) && !self.successors.contains(site) && !self.drawn.iter().any(taken)
        });
        while self.drawn.len() < places && !left.is_empty() {
            let site = left.swap_remove(random.random_range(0..left.len()));
            // The first ones go one after another.
            let age = if first { DRAWN.mul_f64(random.random()) } else { Duration::ZERO };
            self.drawn.push((site.clone(), now.saturating_sub(age)));
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn sites(count: usize) -> Vec<SiteName> {
        (0..count).map(|number| format!("S{number:04}").into()).collect()
    }

    /// Chosen by the site of that number; each is as many milliseconds away as its number differs, but for `gone`.
    fn chosen(choice: &mut Choice, sites: &[SiteName], here: usize, gone: &[usize], now: u64, seed: u64) -> Vec<usize> {
        let others: Vec<Other<'_>> = (0..sites.len())
            .filter(|number| *number != here)
            .map(|number| Other {
                site: &sites[number],
                distance: Some(Duration::from_millis(number.abs_diff(here) as u64)),
                gone: gone.contains(&number),
            })
            .collect();
        let now = Duration::from_secs(now);
        choice.choose(&sites[here], &others, now, &mut StdRng::seed_from_u64(seed));
        let chosen = choice.chosen(now).unwrap_or_else(|| sites.iter().cloned().collect());
        (0..sites.len()).filter(|number| *number != here && chosen.contains(&sites[*number])).collect()
    }

    #[test]
    fn few_sites_are_all_probed() {
        let sites = sites(25);
        assert_eq!(chosen(&mut Choice::default(), &sites, 3, &[5], 1, 1).len(), 24);
    }

    #[test]
    fn of_many_sites_as_many_are_probed_as_of_more() {
        for count in [100, 1000, 5000] {
            let sites = sites(count);
            let mut choice = Choice::default();
            let first = chosen(&mut choice, &sites, 50, &[51, 45], 1, 1);
            assert!((22..=24).contains(&first.len()), "{first:?}");
            let nearest = [44, 46, 47, 48, 49, 52, 53, 54, 55, 56];
            assert!(nearest.iter().all(|site| first.contains(site)), "{first:?}");
            assert!(!first.contains(&51) || !choice.nearest.contains(&sites[51]), "a dead one takes no place");
            assert_eq!(choice.successors, [sites[52].clone(), sites[53].clone()]);
            // Another minute, another sample; and the old one goes bit by bit.
            let soon = chosen(&mut choice, &sites, 50, &[51, 45], 31, 2);
            let later = chosen(&mut choice, &sites, 50, &[51, 45], 200, 3);
            let same = |other: &[usize]| first.iter().filter(|site| other.contains(site)).count();
            assert!(same(&later) <= same(&soon) && same(&later) < first.len(), "{first:?} {soon:?} {later:?}");
        }
    }

    #[test]
    fn every_site_has_somebody_who_probes_it() {
        let sites = sites(60);
        let mut probed = BTreeSet::new();
        for here in 0..60 {
            // Only the successors.
            let mut choice = Choice { reach: Probes { nearest: 0, successors: 2, sample: 0 }, ..Choice::default() };
            probed.extend(chosen(&mut choice, &sites, here, &[], 1, here as u64));
        }
        assert_eq!(probed.len(), 60);
    }

    #[test]
    fn sites_that_requests_go_to_are_probed_for_a_while() {
        let sites = sites(100);
        let mut choice = Choice { reach: Probes { nearest: 1, successors: 0, sample: 0 }, ..Choice::default() };
        choice.requested(&sites[90], Duration::from_secs(5));
        assert_eq!(chosen(&mut choice, &sites, 0, &[], 60, 1), [1, 90]);
        assert_eq!(chosen(&mut choice, &sites, 0, &[], 66, 1), [1]);
        for site in sites.iter().skip(10) {
            choice.requested(site, Duration::from_secs(70));
        }
        assert_eq!(chosen(&mut choice, &sites, 0, &[], 71, 1).len(), 1 + MOST_REQUESTED);
    }
}
