//! The time, and what happens in it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

use cheops_agent::config::Probes;
use cheops_agent::metadata::latency::State;
use cheops_agent::peer::{Asks, Hello};
use http::HeaderMap;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::network::{Network, Weather};
use crate::node::{self, Node};
use crate::wire::{self, ASKS, DATAGRAMS, HANDSHAKES, PINGS};

/// As the agent's own tasks have them: how often it is looked which datagrams are due, and the patience of a probe over
/// a link.
const TICK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(3);
/// Ticks between two reviews: less often than an agent does, so that all is learned rather later here.
const REVIEW: u64 = 15;
/// A death that is seen so soon after a change of the network may be a right one.
const JUST_CHANGED: Duration = Duration::from_secs(12);
/// Bytes of a datagram.
const DATAGRAM: usize = 40;

enum Event {
    Tick,
    Datagram { from: usize, bytes: [u8; DATAGRAM] },
    Ask { from: usize, run: u32, number: u64, began: Duration, asks: Asks, headers: HeaderMap },
    Answer { from: usize, number: u64, began: Duration, asks: Asks, body: Vec<u8> },
    Deadline { other: usize, number: u64 },
}

/// Something at one node, which is dropped if that has died or was started anew.
struct Happening {
    at: Duration,
    order: u64,
    to: usize,
    run: u32,
    event: Box<Event>,
}

impl PartialEq for Happening {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Happening {}

impl Ord for Happening {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Happening {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// All sites.
pub struct World {
    pub now: Duration,
    pub nodes: Vec<Node>,
    pub network: Network,
    pub reach: Probes,
    /// Agents hand no word on; to see what would be without.
    pub mute: bool,
    /// Deaths that were seen of sites that live and can be reached: when, by whom, of whom.
    pub wrong: Vec<(Duration, usize, usize)>,
    changed: Duration,
    random: StdRng,
    queue: BinaryHeap<Reverse<Happening>>,
    order: u64,
}

impl World {
    /// So many sites, none of them started.
    pub fn new(sites: usize, weather: Weather, seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            nodes: (0..sites).map(|number| Node::new(number, sites)).collect(),
            network: Network::new(sites, weather, seed),
            reach: Probes::default(),
            mute: false,
            wrong: Vec::new(),
            changed: Duration::ZERO,
            random: StdRng::seed_from_u64(seed ^ 0x005E_ED0F_0A1C_10C5),
            queue: BinaryHeap::new(),
            order: 0,
        }
    }

    /// Starts a site within the next second.
    pub fn start(&mut self, site: usize) {
        let (reach, seed) = (self.reach, self.random.random());
        self.nodes[site].start(reach, seed, self.now);
        let first = Duration::from_secs_f64(self.random.random());
        self.later(first, site, Event::Tick);
        self.changed();
    }

    /// Starts all.
    pub fn start_all(&mut self) {
        (0..self.nodes.len()).for_each(|site| self.start(site));
    }

    /// Lets a site fall silent.
    pub fn kill(&mut self, site: usize) {
        self.nodes[site].die();
        self.changed();
    }

    /// The network, or who lives, is another one from now on.
    pub fn changed(&mut self) {
        self.changed = self.now;
    }

    /// Which sites live.
    pub fn living(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|site| self.nodes[*site].born.is_some()).collect()
    }

    /// Lets this much time pass.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.queue.peek().is_some_and(|Reverse(next)| next.at <= end) {
            let Some(Reverse(next)) = self.queue.pop() else { break };
            self.now = next.at;
            if self.nodes[next.to].run == next.run && self.nodes[next.to].look(self.now) {
                self.happen(next.to, *next.event);
            }
        }
        self.now = end;
        self.nodes.iter_mut().for_each(|node| _ = node.look(end));
    }

    fn later(&mut self, wait: Duration, to: usize, event: Event) {
        self.order += 1;
        let (at, order, run) = (self.now + wait, self.order, self.nodes[to].run);
        self.queue.push(Reverse(Happening { at, order, to, run, event: Box::new(event) }));
    }

    fn happen(&mut self, at: usize, event: Event) {
        match event {
            Event::Tick => self.tick(at),
            Event::Datagram { from, bytes } => {
                if let Some(answer) = self.nodes[at].board.came(&bytes) {
                    self.send(at, from, answer);
                }
            }
            Event::Ask { from, run, number, began, asks, headers } => {
                if self.nodes[from].run == run {
                    debug_assert_eq!(asks, Asks::from_headers(&headers));
                    self.asked(at, from, number, began, &headers);
                }
            }
            Event::Answer { from, number, began, asks, body } => self.answered(at, from, number, began, &asks, &body),
            Event::Deadline { other, number } => {
                let node = &mut self.nodes[at];
                if node.under_way.get(&other) == Some(&number) {
                    node.under_way.remove(&other);
                    // A link that is being made still may be.
                    node.links.retain(|to, (_, ready)| *to != other || *ready + PATIENCE > self.now);
                    node.board.failed(&node::key(other), "no answer".to_owned());
                }
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: [u8; DATAGRAM]) {
        self.nodes[from].sent.add(DATAGRAMS, wire::UDP + bytes.len() as u64);
        if let Some(wait) = self.network.datagram(from, to) {
            self.later(wait, to, Event::Datagram { from, bytes });
        }
    }

    fn tick(&mut self, at: usize) {
        for (to, bytes) in self.nodes[at].board.due() {
            self.send(at, node::at(&to), bytes);
        }
        self.nodes[at].ticks += 1;
        if self.nodes[at].ticks.is_multiple_of(REVIEW) {
            self.review(at);
        }
        if self.nodes[at].next_round <= self.now {
            self.round(at);
        }
        self.later(TICK, at, Event::Tick);
    }

    fn review(&mut self, at: usize) {
        let rows = self.nodes[at].board.review();
        let dead = rows.into_iter().filter(|row| row.state == State::Dead).map(|row| row.site).collect();
        let before = std::mem::replace(&mut self.nodes[at].dead, dead);
        if self.now.saturating_sub(self.changed) < JUST_CHANGED && self.now > JUST_CHANGED {
            return;
        }
        for site in self.nodes[at].dead.difference(&before) {
            let of = node::number(site);
            let reached = self.network.passes(at, of) && self.network.passes(of, at);
            if reached && self.nodes[of].born.is_some() {
                self.wrong.push((self.now, at, of));
            }
        }
    }

    /// What the agent does about once a second.
    fn round(&mut self, at: usize) {
        let chosen = self.nodes[at].choose();
        let passed = (self.now - self.nodes[at].last_round).as_secs_f64();
        self.nodes[at].last_round = self.now;
        self.nodes[at].next_round = self.now + Duration::from_secs_f64(self.random.random_range(0.8..1.2));
        self.nodes[at].links.retain(|other, _| chosen.binary_search_by_key(other, |(number, _)| *number).is_ok());
        let links: Vec<usize> = self.nodes[at].links.keys().copied().collect();
        for other in links {
            // One after another, a second after the answer to the one before.
            let pings = passed / (1.0 + self.network.round_trip(at, other).as_secs_f64());
            self.nodes[at].sent.add(PINGS, ((wire::PING + wire::TCP) as f64 * pings) as u64);
            self.nodes[other].sent.add(PINGS, (wire::PING as f64 * pings) as u64);
        }
        for (other, key) in chosen {
            let node = &mut self.nodes[at];
            if node.board.hello_due(&key) && !node.under_way.contains_key(&other) {
                let asks = node.board.asks(&key);
                self.ask(at, other, asks);
            }
        }
    }

    /// Probes over the link, which is made first if it isn't there.
    fn ask(&mut self, at: usize, other: usize, asks: Asks) {
        let number = self.order;
        self.nodes[at].under_way.insert(other, number);
        self.later(PATIENCE, at, Event::Deadline { other, number });
        let run = self.nodes[other].run;
        let made = self.nodes[at].links.get(&other).filter(|(to, _)| *to == run);
        let mut ready = made.map_or(Duration::ZERO, |(_, ready)| ready.saturating_sub(self.now));
        if made.is_none() {
            self.nodes[at].sent.add(HANDSHAKES, wire::SYN);
            if self.nodes[other].born.is_none() {
                return;
            }
            // TCP, TLS, and the first PING.
            for _ in 0..3 {
                let (Some((there, _)), Some((back, _))) =
                    (self.network.carried(at, other), self.network.carried(other, at))
                else {
                    return;
                };
                ready += there + back;
            }
            self.nodes[at].sent.add(HANDSHAKES, wire::HANDSHAKE);
            self.nodes[other].sent.add(HANDSHAKES, wire::HANDSHAKE);
            self.nodes[at].links.insert(other, (run, self.now + ready));
        }
        let headers = asks.to_headers();
        let Some((wait, times)) = self.network.carried(at, other) else { return };
        self.nodes[at].sent.add(ASKS, wire::request(&headers) * u64::from(times) + wire::TCP);
        let (run, began) = (self.nodes[at].run, self.now + ready);
        self.later(ready + wait, other, Event::Ask { from: at, run, number, began, asks, headers });
    }

    fn asked(&mut self, at: usize, from: usize, number: u64, began: Duration, headers: &HeaderMap) {
        let mut asks = Asks::from_headers(headers);
        if self.mute {
            (asks.news, asks.word) = (None, None);
        }
        let identity = self.nodes[from].identity.clone();
        let node = &mut self.nodes[at];
        let told = node.board.told(Some(&identity), &asks);
        let hello = Hello::new(&node.identity, told, Some(node.certificate.clone()), &asks);
        let body = serde_json::to_vec(&hello).expect("text");
        if let Some((wait, times)) = self.network.carried(at, from) {
            self.nodes[at].sent.add_answer(&body, times.into());
            self.later(wait, from, Event::Answer { from: at, number, began, asks, body });
        }
    }

    fn answered(&mut self, at: usize, from: usize, number: u64, began: Duration, asks: &Asks, body: &[u8]) {
        let node = &mut self.nodes[at];
        if node.under_way.get(&from) != Some(&number) {
            return;
        }
        node.under_way.remove(&from);
        let hello: Hello = serde_json::from_slice(body).expect("what the agent wrote");
        let to: SocketAddr = node::address(from);
        let to = hello.beat.is_some().then_some(to);
        node.board.answered(&node::key(from), asks, hello, self.now - began, to);
    }
}
