//! Where a site lies in the space of latencies, so that a distance that nobody measured can be estimated.
//!
//! Dabek, Cox, Kaashoek, Morris: Vivaldi, a decentralized network coordinate system, SIGCOMM 2004: each site moves a
//! little with every round trip that it measures, as if springs pulled it; the less it and the other are sure of their
//! places, the further. A height stands for the way from the site to the wide-area network, which all its ways share.
//! Ledlie, Gardner, Seltzer: Network coordinates in the wild, NSDI 2007: what moves a site is a low percentile of the
//! last round trips and not each of them (see [`Rtt::filtered`](super::Rtt::filtered)), a place is told only when it has
//! moved for good ([`Coordinate::moved`]), and a weak gravity keeps the whole from drifting.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

/// A sphere of sites bends less in four than in two.
const DIMENSIONS: usize = 4;
/// How far one round trip moves a site, and its error (the paper's c_c and c_e).
const STEP: f64 = 0.25;
const ERROR_STEP: f64 = 0.1;
/// A site that knows nothing is wrong by all of a distance, and none is surer than this.
const WORST: f64 = 1.0;
const BEST: f64 = 0.02;
/// A place that is wrong by more than this part of a distance is none yet.
const FOUND: f64 = 0.5;
/// In milliseconds.
const LEAST_HEIGHT: f64 = 0.05;
/// At this distance from the middle the gravity is one millisecond.
const GRAVITY: f64 = 300.0;
/// A place that moved by less than these, in milliseconds and as a part of the error's span, is not told again.
const MOVED_MS: f64 = 3.0;
/// A link that answers sooner has a distance all the same.
const LEAST_RTT: f64 = 0.05;
/// No place is further away from the middle, in milliseconds: what a site tells of itself is limited.
const FARTHEST: f64 = 10_000.0;

/// A place, as it is told: in microseconds, with the part of a distance by which it is usually wrong, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Vec<i32>, u32, u16)", into = "(Vec<i32>, u32, u16)")]
pub struct Coordinate {
    at: [i32; DIMENSIONS],
    height: u32,
    error: u16,
}

impl From<(Vec<i32>, u32, u16)> for Coordinate {
    /// Missing dimensions are zero, and more of them are dropped: what another version says is worth something still.
    fn from((told, height, error): (Vec<i32>, u32, u16)) -> Self {
        let mut at = [0; DIMENSIONS];
        at.iter_mut().zip(told).for_each(|(own, told)| *own = told);
        Self { at, height, error }
    }
}

impl From<Coordinate> for (Vec<i32>, u32, u16) {
    fn from(coordinate: Coordinate) -> Self {
        (coordinate.at.to_vec(), coordinate.height, coordinate.error)
    }
}

/// A distance that nobody measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub rtt: Duration,
    /// By how much it is usually wrong.
    pub error: Duration,
}

impl Coordinate {
    fn place(&self) -> [f64; DIMENSIONS] {
        self.at.map(|micros| (f64::from(micros) / 1000.0).clamp(-FARTHEST, FARTHEST))
    }

    fn height(&self) -> f64 {
        (f64::from(self.height) / 1000.0).clamp(LEAST_HEIGHT, FARTHEST)
    }

    fn error(&self) -> f64 {
        (f64::from(self.error) / 1000.0).clamp(BEST, WORST)
    }

    /// Whether it is worth anything: a site that has just begun to look for its place is still near the middle, and so
    /// seems to be near to all.
    pub fn is_found(&self) -> bool {
        self.error() < FOUND
    }

    /// How far it is to a site that lies there. The errors of both add up: an estimate promises rather too little.
    pub fn to(&self, other: &Self) -> Estimate {
        let (_, apart) = difference(&self.place(), &other.place());
        let rtt = apart + self.height() + other.height();
        let error = rtt * (self.error() + other.error());
        Estimate { rtt: milliseconds(rtt), error: milliseconds(error) }
    }

    /// Whether it lies elsewhere than `told`, by so much that others should know.
    pub fn moved(&self, told: &Self) -> bool {
        let (_, apart) = difference(&self.place(), &told.place());
        let apart = apart + (self.height() - told.height()).abs();
        let surer = (self.error() / told.error()).ln().abs() > 0.7;
        apart > MOVED_MS || surer
    }
}

fn milliseconds(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.clamp(0.0, 10.0 * FARTHEST) / 1000.0)
}

/// The way from `other` to `one`, and its length.
fn difference(one: &[f64; DIMENSIONS], other: &[f64; DIMENSIONS]) -> ([f64; DIMENSIONS], f64) {
    let mut way = *one;
    way.iter_mut().zip(other).for_each(|(one, other)| *one -= other);
    let length = way.iter().map(|part| part * part).sum::<f64>().sqrt();
    (way, length)
}

/// The own place, as it is found.
#[derive(Clone, Debug)]
pub struct Vivaldi {
    /// In milliseconds.
    at: [f64; DIMENSIONS],
    height: f64,
    error: f64,
    learned: u64,
}

impl Default for Vivaldi {
    fn default() -> Self {
        Self { at: [0.0; DIMENSIONS], height: LEAST_HEIGHT, error: WORST, learned: 0 }
    }
}

impl Vivaldi {
    /// Goes on from where the site was before.
    pub fn at(coordinate: &Coordinate) -> Self {
        // It may have been moved meanwhile.
        let error = coordinate.error().max(0.5);
        Self { at: coordinate.place(), height: coordinate.height(), error, learned: 1 }
    }

    /// A round trip to a site that lies at `other` took so long.
    pub fn learn(&mut self, took: Duration, other: &Coordinate, random: &mut impl Rng) {
        let rtt = (took.as_secs_f64() * 1000.0).max(LEAST_RTT);
        let (mut way, mut apart) = difference(&self.at, &other.place());
        let estimate = apart + self.height + other.height();
        let weight = self.error / (self.error + other.error());
        let wrong = ((estimate - rtt).abs() / rtt).min(WORST);
        let part = ERROR_STEP * weight;
        self.error = (wrong * part + self.error * (1.0 - part)).clamp(BEST, WORST);
        if apart < f64::EPSILON {
            // Two at the same place go apart, whereto doesn't matter.
            way.iter_mut().for_each(|part| *part = random.random_range(-1.0..1.0));
            apart = way.iter().map(|part| part * part).sum::<f64>().sqrt().max(f64::EPSILON);
        }
        let force = STEP * weight * (rtt - estimate);
        self.at.iter_mut().zip(way).for_each(|(at, part)| *at += part / apart * force);
        // The heights are a part of the way like any other (the paper's 5.4): they take their share of it.
        let share = (self.height + other.height()) / estimate.max(LEAST_RTT);
        self.height = (self.height + force * share).clamp(LEAST_HEIGHT, FARTHEST);
        self.fall();
        self.learned += 1;
    }

    /// Towards the middle.
    fn fall(&mut self) {
        let far = self.at.iter().map(|part| part * part).sum::<f64>().sqrt();
        if far > 0.0 {
            let pull = (STEP * (far / GRAVITY).powi(2) / 10.0).min(far) / far;
            self.at.iter_mut().for_each(|at| *at = (*at - *at * pull).clamp(-FARTHEST, FARTHEST));
        }
    }

    /// Where the site lies; none before anything was measured.
    pub fn coordinate(&self) -> Option<Coordinate> {
        (self.learned > 0).then(|| self.start())
    }

    /// The same; the middle, of which it is not sure at all, before anything was measured: others begin with that.
    pub fn start(&self) -> Coordinate {
        Coordinate {
            at: self.at.map(|ms| (ms * 1000.0) as i32),
            height: (self.height * 1000.0) as u32,
            error: (self.error * 1000.0) as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn ms(ms: f64) -> Duration {
        milliseconds(ms)
    }

    /// Sites on a plane, each with a way to its network; all measure some others over and over.
    fn settled(seed: u64, jitter: f64) -> (Vec<Vivaldi>, impl Fn(usize, usize) -> f64) {
        const SITES: usize = 60;
        let mut rng = StdRng::seed_from_u64(seed);
        let places: Vec<(f64, f64, f64)> = (0..SITES)
            .map(|_| (rng.random_range(0.0..150.0), rng.random_range(0.0..80.0), rng.random_range(0.2..4.0)))
            .collect();
        let real = move |one: usize, other: usize| {
            let ((x1, y1, h1), (x2, y2, h2)) = (places[one], places[other]);
            f64::hypot(x1 - x2, y1 - y2) + h1 + h2
        };
        let mut found = vec![Vivaldi::default(); SITES];
        for round in 0..400 {
            for one in 0..SITES {
                let other = (one + 1 + (round * 7 + one) % 24) % SITES;
                let (place, took) = (found[other].start(), real(one, other) * (1.0 + jitter * rng.random::<f64>()));
                if other != one {
                    found[one].learn(ms(took), &place, &mut rng);
                }
            }
        }
        (found, real)
    }

    #[test]
    fn distances_that_nobody_measured_are_estimated() {
        for seed in 0..5 {
            let (found, real) = settled(seed, 0.05);
            let mut errors = Vec::new();
            let mut within = 0;
            for one in 0..found.len() {
                for other in (0..found.len()).filter(|other| *other != one) {
                    let [from, to] = [one, other].map(|site| found[site].coordinate().expect("a place"));
                    let estimate = from.to(&to);
                    let wrong = (estimate.rtt.as_secs_f64() * 1000.0 - real(one, other)).abs();
                    errors.push(wrong / real(one, other));
                    within += usize::from(wrong <= estimate.error.as_secs_f64() * 1000.0);
                }
            }
            errors.sort_by(f64::total_cmp);
            let (median, ninth) = (errors[errors.len() / 2], errors[errors.len() * 9 / 10]);
            assert!(median < 0.1 && ninth < 0.4, "seed {seed}: {median} {ninth}");
            assert!(within * 10 > errors.len() * 8, "seed {seed}: {within} of {} within their error", errors.len());
        }
    }

    #[test]
    fn a_place_is_told_again_only_when_it_moved() {
        let (found, _) = settled(1, 0.0);
        let place = found[0].coordinate().expect("a place");
        assert!(!place.moved(&place));
        let mut near = place;
        near.at[0] += 1000;
        assert!(!near.moved(&place));
        near.at[0] += 5000;
        assert!(near.moved(&place));
        let surer = Coordinate { error: place.error * 3, ..place };
        assert!(place.moved(&surer));
    }

    #[test]
    fn what_others_tell_is_limited() {
        let mut own = Vivaldi::default();
        let mut rng = StdRng::seed_from_u64(1);
        let liar: Coordinate = serde_json::from_str("[[2147483647,-2147483648,0,0,7],4294967295,65535]").expect("read");
        for _ in 0..1000 {
            own.learn(Duration::from_millis(10), &liar, &mut rng);
        }
        let place = own.coordinate().expect("a place");
        assert!(place.to(&liar).rtt <= Duration::from_secs(100));
        assert!(place.place().iter().all(|part| part.is_finite()));
        assert!(serde_json::from_str::<Coordinate>("[[99999999999],1,1]").is_err());
        assert!(!Vivaldi::default().start().is_found() && !liar.is_found());
        let short: Coordinate = serde_json::from_str("[[1000],50,500]").expect("read");
        assert_eq!(serde_json::to_string(&short).expect("text"), "[[1000,0,0,0],50,500]");
    }

    #[test]
    fn nothing_measured_is_no_place() {
        assert_eq!(Vivaldi::default().coordinate(), None);
    }
}
