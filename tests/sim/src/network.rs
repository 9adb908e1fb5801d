//! The network: sites on a plane, each with a way to it; jitter, loss, cuts.

use std::collections::HashSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// TCP sends again after this at the earliest (Linux's `TCP_RTO_MIN`), and doubles it.
const RTO: Duration = Duration::from_millis(200);
/// After so many losses in a row nobody waits any more.
const MOST_AGAIN: u32 = 6;

/// What happens on every way.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// The part of the packets that gets lost, each way.
    pub loss: f64,
    /// Each packet takes up to so much longer, each way.
    pub jitter: Duration,
}

impl Weather {
    /// A network without troubles: one packet in a thousand, two milliseconds.
    pub const FAIR: Self = Self { loss: 0.001, jitter: Duration::from_millis(2) };
    /// A bad one.
    pub const BAD: Self = Self { loss: 0.2, jitter: Duration::from_millis(50) };
}

/// Where a site lies, and how long its own way to the network is, in milliseconds of a round trip.
#[derive(Clone, Copy, Debug)]
struct Place {
    x: f64,
    y: f64,
    access: f64,
}

/// All ways between sites, by their numbers.
pub struct Network {
    places: Vec<Place>,
    pub weather: Weather,
    /// Sites of different sides don't reach each other.
    sides: Vec<u8>,
    /// Nothing goes from the first to the second.
    cuts: HashSet<(usize, usize)>,
    random: StdRng,
}

impl Network {
    pub fn new(sites: usize, weather: Weather, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let place = |_| Place {
            x: random.random_range(0.0..180.0),
            y: random.random_range(0.0..90.0),
            access: random.random_range(0.5..8.0),
        };
        let places = (0..sites).map(place).collect();
        Self { places, weather, sides: vec![0; sites], cuts: HashSet::new(), random }
    }

    /// The round trip between two sites, without jitter.
    pub fn round_trip(&self, one: usize, other: usize) -> Duration {
        let (one, other) = (self.places[one], self.places[other]);
        let ms = f64::hypot(one.x - other.x, one.y - other.y) + one.access + other.access;
        Duration::from_secs_f64(ms / 1000.0)
    }

    /// Whether packets go from one to the other at all.
    pub fn passes(&self, from: usize, to: usize) -> bool {
        self.sides[from] == self.sides[to] && !self.cuts.contains(&(from, to))
    }

    /// Parts the sites: each goes to the side that is told.
    pub fn part(&mut self, side: impl Fn(usize) -> u8) {
        self.sides.iter_mut().enumerate().for_each(|(site, of)| *of = side(site));
    }

    /// Cuts one direction, or heals it.
    pub fn cut(&mut self, from: usize, to: usize, is: bool) {
        if is {
            self.cuts.insert((from, to));
        } else {
            self.cuts.remove(&(from, to));
        }
    }

    fn one_way(&mut self, from: usize, to: usize) -> Duration {
        self.round_trip(from, to) / 2 + self.weather.jitter.mul_f64(self.random.random::<f64>())
    }

    fn is_lost(&mut self) -> bool {
        self.random.random_bool(self.weather.loss)
    }

    /// How long a datagram takes; none if it doesn't arrive.
    pub fn datagram(&mut self, from: usize, to: usize) -> Option<Duration> {
        (self.passes(from, to) && !self.is_lost()).then(|| self.one_way(from, to))
    }

    /// How long it takes until what TCP carries has arrived, and how often it was sent for that.
    pub fn carried(&mut self, from: usize, to: usize) -> Option<(Duration, u32)> {
        let (mut again, mut pause) = (Duration::ZERO, RTO.max(self.round_trip(from, to)));
        for times in 1..=MOST_AGAIN {
            if !self.passes(from, to) || !self.passes(to, from) {
                return None;
            }
            if !self.is_lost() {
                return Some((again + self.one_way(from, to), times));
            }
            again += pause;
            pause *= 2;
        }
        None
    }
}
