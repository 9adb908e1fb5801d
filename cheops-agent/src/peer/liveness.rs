//! Which peers live, and how far away they are: each agent of each other site is asked for its hello all the time.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::client::{Client, Hello};
use crate::metadata::{Site, Snapshot};
use crate::names::{HostName, SiteName};

/// Between two probes of one agent, jittered by a fifth.
const EVERY: Duration = Duration::from_secs(1);
/// A probe that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(3);
/// Failed probes until a peer that was alive counts as dead.
const DEAD_AFTER: u32 = 3;
/// Agents that are probed: more than a federation has.
const MAX_PEERS: usize = 10_000;

/// How a peer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerState {
    /// Not yet asked.
    #[default]
    Unknown,
    Alive,
    /// It was alive, and the last probe failed.
    Suspect,
    Dead,
}

/// What is known of one agent.
#[derive(Clone, Debug, Default)]
pub struct PeerStatus {
    pub state: PeerState,
    /// The least round-trip time seen: the distance.
    pub rtt_min: Option<Duration>,
    /// The usual one: an exponentially weighted mean, a new value counting an eighth.
    pub rtt: Option<Duration>,
    /// When it last answered.
    pub heard: Option<Instant>,
    pub host: Option<HostName>,
    pub version: Option<String>,
    /// Why the last probe failed, if it did.
    pub trouble: Option<String>,
    failures: u32,
}

impl PeerStatus {
    /// How old what is known is; `None` if it never answered.
    pub fn age(&self) -> Option<Duration> {
        self.heard.map(|heard| heard.elapsed())
    }

    fn answered(&mut self, hello: Hello, took: Duration, now: Instant) {
        self.state = PeerState::Alive;
        self.rtt_min = Some(self.rtt_min.map_or(took, |least| least.min(took)));
        self.rtt = Some(self.rtt.map_or(took, |usual| (usual * 7 + took) / 8));
        self.heard = Some(now);
        self.host = Some(hello.host);
        self.version = Some(hello.version);
        self.trouble = None;
        self.failures = 0;
    }

    fn failed(&mut self, trouble: String) {
        self.failures = self.failures.saturating_add(1);
        self.trouble = Some(trouble);
        self.state = match self.state {
            PeerState::Alive | PeerState::Suspect if self.failures < DEAD_AFTER => PeerState::Suspect,
            _ => PeerState::Dead,
        };
    }
}

type Known = BTreeMap<(SiteName, String), PeerStatus>;

/// The board on which probes write and `status` reads.
#[derive(Default)]
pub struct Liveness {
    known: Mutex<Known>,
}

impl Liveness {
    /// Nothing is known yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What is known of each agent, by site and address.
    pub fn peers(&self) -> Vec<(SiteName, String, PeerStatus)> {
        let known = self.lock();
        known.iter().map(|((site, address), status)| (site.clone(), address.clone(), status.clone())).collect()
    }

    /// The best state among the site's agents, and the least distance.
    pub fn site(&self, site: &SiteName) -> PeerStatus {
        let rank = |status: &PeerStatus| match status.state {
            PeerState::Alive => 0,
            PeerState::Suspect => 1,
            PeerState::Unknown => 2,
            PeerState::Dead => 3,
        };
        let known = self.lock();
        let of_site = known.iter().filter(|((of, _), _)| of == site).map(|(_, status)| status);
        of_site.min_by_key(|status| (rank(status), status.rtt_min)).cloned().unwrap_or_default()
    }

    /// The site with its agents in the order in which they are best tried: the dead ones last.
    pub fn ordered(&self, site: &Site) -> Site {
        let known = self.lock();
        let mut site = site.clone();
        let name = site.name.clone();
        site.peers.sort_by_key(|address| {
            known.get(&(name.clone(), address.clone())).is_some_and(|status| status.state == PeerState::Dead)
        });
        site
    }

    /// Probes the agents of all sites, but for the addresses in `own`, until it is dropped. Each is probed at its own
    /// pace, so that a dead one delays no other. `snapshot` is asked again all the time.
    pub async fn run(&self, client: &Client, snapshot: impl Fn() -> Arc<Snapshot>, own: &[String]) {
        let mut probes = FuturesUnordered::new();
        let mut under_way = HashSet::new();
        loop {
            let wanted = wanted(&snapshot(), own);
            self.lock().retain(|key, _| wanted.contains(key));
            client.retain(|key| wanted.contains(key));
            for key in wanted {
                if under_way.insert(key.clone()) {
                    probes.push(self.probe(client, key));
                }
            }
            let pause = sleep(EVERY.mul_f64(rand::random_range(0.8..1.2)));
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(done) = probes.next() => { under_way.remove(&done); }
                }
            }
        }
    }

    async fn probe(&self, client: &Client, key: (SiteName, String)) -> (SiteName, String) {
        let answer = client.hello(&key.0, &key.1, Instant::now() + PATIENCE).await;
        let mut known = self.lock();
        if known.len() < MAX_PEERS || known.contains_key(&key) {
            let status = known.entry(key.clone()).or_default();
            match answer {
                Ok((hello, took)) => status.answered(hello, took, Instant::now()),
                Err(error) => status.failed(error.to_string()),
            }
        }
        key
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every agent that is to be probed.
fn wanted(snapshot: &Snapshot, own: &[String]) -> BTreeSet<(SiteName, String)> {
    let all = snapshot.sites.values().flat_map(|site| {
        site.peers.iter().filter(|address| !own.contains(address)).map(|address| (site.name.clone(), address.clone()))
    });
    all.take(MAX_PEERS).collect()
}
