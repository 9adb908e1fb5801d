//! A distance from round trips.

use std::collections::VecDeque;
use std::time::Duration;

/// How far back the least round trip is looked for: a site that moves away is seen after this, one that comes nearer at
/// once.
const WINDOW: Duration = Duration::from_secs(5);
/// Samples that are kept: more than come in that time.
const MOST: usize = 64;

/// Round trips to one agent.
#[derive(Clone, Debug, Default)]
pub struct Rtt {
    /// When, and how long.
    samples: VecDeque<(Duration, Duration)>,
    usual: Option<Duration>,
    jitter: Duration,
}

impl Rtt {
    /// One round trip that ended at `now`.
    pub fn sample(&mut self, now: Duration, took: Duration) {
        if let Some((_, before)) = self.samples.back() {
            // RFC 3550, 6.4.1, of round trips instead of transit times.
            let difference = before.abs_diff(took);
            self.jitter = (self.jitter * 15 + difference) / 16;
        }
        // RFC 6298, 2.3: SRTT with alpha = 1/8.
        self.usual = Some(self.usual.map_or(took, |usual| (usual * 7 + took) / 8));
        self.samples.push_back((now, took));
        let old = |(at, _): &(Duration, Duration)| now.saturating_sub(*at) > WINDOW;
        while self.samples.len() > MOST || self.samples.front().is_some_and(old) {
            self.samples.pop_front();
        }
        // The mean remembers what is too old for the least: a distance that grew at once would be above it.
        self.usual = self.usual.max(self.least());
    }

    /// The least of the last seconds before the last sample: the distance, without what queues and retransmissions add.
    pub fn least(&self) -> Option<Duration> {
        self.samples.iter().map(|(_, took)| *took).min()
    }

    /// The one that a quarter of the last seconds' are shorter than: what a place is found by, since neither a single
    /// late answer nor a single lucky one moves it.
    pub fn filtered(&self) -> Option<Duration> {
        let mut all: Vec<Duration> = self.samples.iter().map(|(_, took)| *took).collect();
        let quarter = all.len() / 4;
        (!all.is_empty()).then(|| *all.select_nth_unstable(quarter).1)
    }

    /// The usual one: an exponentially weighted mean, never below the least.
    pub fn usual(&self) -> Option<Duration> {
        self.usual
    }

    /// How much one differs from the one before, as a mean; none before there are two.
    pub fn jitter(&self) -> Option<Duration> {
        (self.usual.is_some() && self.samples.len() > 1).then_some(self.jitter)
    }

    /// When the last sample was.
    pub fn last(&self) -> Option<Duration> {
        self.samples.back().map(|(at, _)| *at)
    }
}
