//! What came of it.

use std::time::Duration;

use cheops_agent::metadata::latency::State;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::wire::Traffic;
use crate::world::World;

/// Many numbers, by their order.
#[derive(Clone, Debug, Default)]
pub struct Spread(Vec<f64>);

impl Spread {
    pub fn new(mut all: Vec<f64>) -> Self {
        all.sort_by(f64::total_cmp);
        Self(all)
    }

    /// The one that this part of them is below.
    pub fn part(&self, part: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * part) as usize).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.part(0.5)
    }

    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    /// In their order.
    pub fn all(&self) -> Vec<f64> {
        self.0.clone()
    }

    pub fn max(&self) -> f64 {
        self.part(1.0)
    }
}

/// How often it is looked who has learned something.
const STEP: Duration = Duration::from_millis(250);

impl World {
    /// Lets time pass until every living site sees each of `sites` in that state: after how many seconds each did, those
    /// apart that probed it at the beginning. None if some didn't within that time.
    pub fn until_seen(&mut self, sites: &[usize], state: State, within: Duration) -> Option<(Spread, Spread)> {
        let begin = self.now;
        let mut left = Vec::new();
        for by in self.living() {
            let probed = self.nodes[by].probed();
            left.extend(sites.iter().filter(|of| **of != by).map(|of| (by, *of, probed.contains(of))));
        }
        let (mut probed, mut word) = (Vec::new(), Vec::new());
        while !left.is_empty() && self.now < begin + within {
            self.pass(STEP);
            let took = (self.now - begin).as_secs_f64();
            left.retain(|(by, of, probes)| {
                let seen = self.nodes[*by].sees(*of) == state;
                if seen {
                    if *probes { &mut probed } else { &mut word }.push(took);
                }
                !seen
            });
        }
        if let Some((by, of, probes)) = left.first() {
            println!("{} are left, such as {by} of {of} (probed: {probes})", left.len());
            return None;
        }
        Some((Spread::new(probed), Spread::new(word)))
    }

    /// Pairs of living sites of which one doesn't see the other in that state.
    pub fn not_seen(&self, state: State) -> usize {
        let living = self.living();
        let pairs = living.iter().flat_map(|by| living.iter().map(move |of| (*by, *of)));
        pairs.filter(|(by, of)| by != of && self.nodes[*by].sees(*of) != state).count()
    }

    /// How many others each living site probes.
    pub fn probes(&self) -> Spread {
        Spread::new(self.living().iter().map(|site| self.nodes[*site].board.peers().len() as f64).collect())
    }

    /// What each site sent until now.
    pub fn sent(&self) -> Vec<Traffic> {
        self.nodes.iter().map(|node| node.sent).collect()
    }

    /// By how much distances that nobody measured are estimated wrong, as parts of them; `pairs` are drawn.
    pub fn estimates(&mut self, pairs: usize, seed: u64) -> Spread {
        let mut random = StdRng::seed_from_u64(seed);
        let living = self.living();
        let mut wrong = Vec::new();
        for _ in 0..pairs {
            let [one, other] = [0; 2].map(|_| living[random.random_range(0..living.len())]);
            let places = [one, other].map(|site| self.nodes[site].board.coordinate());
            if let ([Some(from), Some(to)], true) = (places, one != other) {
                let (is, estimate) = (self.network.round_trip(one, other), from.to(&to).rtt);
                wrong.push(is.abs_diff(estimate).as_secs_f64() / is.as_secs_f64());
            }
        }
        Spread::new(wrong)
    }
}

/// Memory of this process in KiB, for each of so many.
pub fn memory(each: usize) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident set");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / each as u64
}
