//! The measuring on simulated networks. A failure prints its seed.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};

use super::*;
use crate::names::SiteName;

const SEEDS: u64 = 100;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A network between a prober and one agent: datagrams, in whatever order they come.
struct Net {
    rng: StdRng,
    delay: Duration,
    jitter: Duration,
    loss: f64,
    now: Duration,
    track: Track,
    loss_in: Loss,
    number: u64,
    /// Answers on their way: when they come, and how long they took.
    answers: BTreeMap<(Duration, u64), Duration>,
    states: Vec<(Duration, State)>,
}

impl Net {
    fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            delay: ms(10),
            jitter: Duration::ZERO,
            loss: 0.0,
            now: Duration::ZERO,
            track: Track::default(),
            loss_in: Loss::default(),
            number: 0,
            answers: BTreeMap::new(),
            states: Vec::new(),
        }
    }

    /// `delay` each way, with jitter up to `jitter`, both ways losing `loss`.
    fn weather(&mut self, delay: u64, jitter: u64, loss: f64) {
        (self.delay, self.jitter, self.loss) = (ms(delay), ms(jitter), loss);
    }

    fn way(&mut self) -> Option<Duration> {
        let part: f64 = self.rng.random();
        let jitter = self.jitter.mul_f64(self.rng.random());
        (part >= self.loss).then(|| self.delay + jitter)
    }

    /// Probes for that long, and notes every change of state.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.number += 1;
            self.track.asked(self.now);
            if let (Some(out), Some(back)) = (self.way(), self.way()) {
                self.answers.insert((self.now + out + back, self.number), out + back);
            }
            let next = self.now + self.track.pause(self.now).mul_f64(self.rng.random_range(0.8..1.2));
            // Looked at as often as the agent looks.
            while self.now < next {
                self.now += ms(50);
                while let Some(((at, number), took)) = self.answers.first_key_value().map(|(key, took)| (*key, *took)) {
                    if at > self.now {
                        break;
                    }
                    self.answers.pop_first();
                    self.track.heard(at);
                    self.track.took(at, took);
                    assert!(self.loss_in.came(number));
                }
                let state = self.track.state(self.now);
                if self.states.last().is_none_or(|(_, last)| *last != state) {
                    self.states.push((self.now, state));
                }
            }
        }
    }

    fn least(&self) -> Duration {
        self.track.rtt(self.now).and_then(Rtt::least).expect("a distance")
    }
}

#[test]
fn loss_and_jitter_make_no_site_flap() {
    let mut suspected = 0;
    for seed in 0..SEEDS {
        let mut net = Net::new(seed);
        net.weather(10, 50, 0.2);
        net.run(Duration::from_secs(600));
        let dead: Vec<_> = net.states.iter().filter(|(_, state)| *state == State::Dead).collect();
        assert!(dead.is_empty(), "seed {seed}: {dead:?}");
        suspected += net.states.iter().filter(|(_, state)| *state == State::Suspect).count();
        let (least, usual) = (net.least(), net.track.rtt(net.now).and_then(Rtt::usual).expect("one"));
        assert!((ms(20)..ms(90)).contains(&least), "seed {seed}: {least:?}");
        assert!((ms(45)..ms(95)).contains(&usual), "seed {seed}: {usual:?}");
        let lost = net.loss_in.share().expect("enough");
        assert!((0.1..0.65).contains(&lost), "seed {seed}: {lost}");
    }
    // A suspicion each two hours, in 17 hours.
    assert!(suspected < 9, "{suspected} suspicions");
}

#[test]
fn a_dead_site_is_seen_in_time_and_never_before() {
    for seed in 0..SEEDS {
        for (jitter, loss) in [(0, 0.0), (50, 0.2), (5, 0.3)] {
            let mut net = Net::new(seed);
            net.weather(10, jitter, loss);
            net.run(Duration::from_secs(120));
            let died = net.now;
            net.weather(10, jitter, 1.0);
            net.run(Duration::from_secs(20));
            let dead = net.states.iter().find(|(at, state)| *at >= died && *state == State::Dead);
            let after = dead.expect("dead").0 - died;
            assert!(after >= Duration::from_secs(2), "seed {seed}: {after:?}");
            assert!(after <= Duration::from_millis(8500), "seed {seed}, loss {loss}: {after:?}");
            net.weather(10, jitter, loss);
            let back = net.now;
            net.run(Duration::from_secs(10));
            let alive = net.states.iter().find(|(at, state)| *at >= back && *state == State::Alive);
            assert!(alive.is_some(), "seed {seed}: {:?}", net.states);
            assert_ne!(net.states.last().map(|(_, state)| *state), Some(State::Dead), "seed {seed}");
        }
    }
}

#[test]
fn a_step_of_the_delay_is_followed() {
    for seed in 0..SEEDS {
        let mut net = Net::new(seed);
        net.weather(5, 5, 0.02);
        net.run(Duration::from_secs(20));
        assert!((ms(10)..=ms(20)).contains(&net.least()), "seed {seed}: {:?}", net.least());
        net.weather(40, 5, 0.02);
        net.run(Duration::from_secs(6));
        assert!((ms(80)..=ms(90)).contains(&net.least()), "seed {seed}: {:?}", net.least());
        net.weather(5, 5, 0.02);
        net.run(Duration::from_secs(3));
        assert!((ms(10)..=ms(20)).contains(&net.least()), "seed {seed}: {:?}", net.least());
        assert!(net.states.iter().all(|(_, state)| *state != State::Dead), "seed {seed}: {:?}", net.states);
    }
}

#[test]
fn what_was_never_heard_is_unknown_then_dead() {
    let mut track = Track::default();
    assert_eq!(track.state(ms(9000)), State::Unknown);
    track.asked(ms(9000));
    assert_eq!(track.state(ms(20_999)), State::Unknown);
    assert_eq!(
        (track.state(ms(21_000)), track.age(ms(21_000)), track.rtt(ms(21_000)).is_none()),
        (State::Dead, None, true)
    );
}

#[test]
fn a_time_that_goes_back_changes_nothing() {
    let mut track = Track::default();
    track.heard(ms(5000));
    track.took(ms(5000), ms(20));
    track.heard(ms(3000));
    track.took(ms(3000), ms(30));
    assert_eq!((track.state(ms(1000)), track.age(ms(1000))), (State::Alive, Some(Duration::ZERO)));
    assert_eq!(track.age(ms(6000)), Some(ms(1000)));
    assert_eq!(track.rtt(ms(6000)).and_then(Rtt::least), Some(ms(20)));
}

/// A site that moves away: the mean that remembers where it was is no less than the least of the last seconds.
#[test]
fn the_usual_is_never_below_the_least() {
    let mut rtt = Rtt::default();
    for at in 0..10 {
        rtt.sample(ms(at * 100), ms(10));
    }
    for (at, took) in [(6500, 80), (6600, 90), (6700, 85)] {
        rtt.sample(ms(at), ms(took));
        assert!(rtt.usual() >= rtt.least(), "{rtt:?}");
    }
    assert_eq!(rtt.least(), Some(ms(80)));
}

#[test]
fn an_old_distance_is_forgotten() {
    let mut track = Track::default();
    track.heard(ms(0));
    track.took(ms(0), ms(20));
    assert!(track.rtt(ms(29_000)).is_some());
    assert!(track.rtt(ms(30_000)).is_none());
}

#[test]
fn numbers_that_come_twice_or_late_are_told_apart() {
    let mut loss = Loss::default();
    assert!(loss.came(100) && !loss.came(100));
    assert!(loss.came(104) && loss.came(102) && !loss.came(102));
    assert_eq!((loss.counts(), loss.share()), ((3, 5), None));
    assert!(loss.came(109));
    assert_eq!((loss.counts(), loss.share()), ((4, 10), Some(0.6)));
    assert!(loss.came(1000) && !loss.came(900));
    assert_eq!(loss.counts(), (1, 64));
    assert!(loss.came(u64::MAX) && !loss.came(0));
}

#[test]
fn the_nearest_host_counts_and_either_side_may_have_measured() {
    let site = |name: &str| SiteName::from(name);
    let measured = |by: &str, rtt: u64, age: u64, state| Measured {
        rtt: ms(rtt),
        usual: ms(rtt + 1),
        age: ms(age),
        by: site(by),
        state,
        hears: true,
    };
    let mut distances = Distances::default();
    distances.add(&site("Nantes"), measured("Paris", 30, 10, State::Alive));
    distances.add(&site("Nantes"), measured("Paris", 20, 10, State::Alive));
    distances.add(&site("Nantes"), measured("Paris", 5, 10, State::Dead));
    distances.add(&site("Lyon"), measured("Paris", 5, 30_000, State::Alive));
    let rtt = |from: &str, to: &str| distances.measured(&site(from), &site(to)).map(|found| found.rtt);
    assert_eq!(rtt("Paris", "Nantes"), Some(ms(20)));
    assert_eq!(rtt("Nantes", "Paris"), Some(ms(20)), "the other side measured");
    assert_eq!(rtt("Paris", "Lyon"), None, "too old");
    assert_eq!(distances.state(&site("Lyon")), State::Unknown);
}
