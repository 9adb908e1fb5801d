//! Which peers live, and how far away they are: each agent of each other site is probed all the time, over its link and
//! with datagrams beside it.

mod board;
mod status;
mod table;

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::board::{Board, Held};
pub use self::status::{PeerState, PeerStatus};
pub use self::table::{Row, Table};
use super::beat::{self, Key};
use super::client::{Asks, Client};
use super::{PeerIdentity, Revocations};
use crate::metadata::record::Standing;
use crate::metadata::{Distances, Site, Snapshot};
use crate::names::SiteName;

/// Between two probes of one agent over its link, jittered by a fifth.
const EVERY: Duration = Duration::from_secs(1);
/// A probe over the link that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often what is known is put together for decisions.
const REFRESH: Duration = Duration::from_millis(200);
/// Agents that are probed: more than a federation has.
const MAX_PEERS: usize = 10_000;

/// The board on which probes write, and from which decisions, `status` and other sites read.
#[derive(Default)]
pub struct Liveness {
    board: Mutex<Board>,
    distances: ArcSwap<Distances>,
}

impl Liveness {
    /// Nothing is known yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What is known of each agent, by site and address.
    pub fn peers(&self) -> Vec<(SiteName, String, PeerStatus)> {
        self.board().peers()
    }

    /// The best state among the site's agents, and the least distance.
    pub fn site(&self, site: &SiteName) -> PeerStatus {
        self.board().site(site)
    }

    /// Distances and states as of a moment ago.
    pub fn distances(&self) -> Guard<Arc<Distances>> {
        self.distances.load()
    }

    /// The site with its agents in the order in which they are best tried: the dead ones last.
    pub fn ordered(&self, site: &Site) -> Site {
        let board = self.board();
        let mut site = site.clone();
        let name = site.name.clone();
        site.peers.sort_by_key(|address| board.state(&name, address) == Some(PeerState::Dead));
        site
    }

    /// Probes the agents of all sites, but for the addresses in `own`, until it is dropped. Each is probed at its own
    /// pace, so that a dead one delays no other. `snapshot` is asked again all the time.
    pub async fn run(&self, client: &Client, snapshot: impl Fn() -> Arc<Snapshot>, own: &[String]) {
        let mut probes = FuturesUnordered::new();
        let mut under_way = HashSet::new();
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = snapshot();
            let wanted = wanted(&now, own);
            self.board().wanted(now.own_site(), &wanted);
            client.retain(|key| wanted.contains(key));
            for key in wanted {
                if self.board().hello_due(&key) && under_way.insert(key.clone()) {
                    probes.push(self.probe(client, key));
                }
            }
            let pause = sleep(EVERY.mul_f64(rand::random_range(0.8..1.2)));
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Some(done) = probes.next() => { under_way.remove(&done); }
                    _ = refresh.tick() => self.refresh(),
                }
            }
        }
    }

    /// Sends and answers datagrams at `listen` until it is dropped.
    pub async fn beat(&self, listen: SocketAddr) {
        beat::carry(self, listen).await;
    }

    async fn probe(&self, client: &Client, key: (SiteName, String)) -> (SiteName, String) {
        let asks = self.board().asks(&key);
        let answer = client.hello(&key.0, &key.1, asks, Instant::now() + PATIENCE).await;
        match answer {
            Ok((hello, took)) => {
                let to = match &hello.beat {
                    Some(_) => resolved(&key.1).await,
                    None => None,
                };
                self.board().answered(&key, hello, took, to);
            }
            Err(error) => self.board().failed(&key, error.to_string()),
        }
        key
    }

    fn refresh(&self) {
        let distances = self.board().distances();
        self.distances.store(Arc::new(distances));
    }

    /// What a peer is told that asks who this agent is: a key for its datagrams if it wants one, and what is measured
    /// here if it doesn't know that already; and how this site takes part.
    pub(super) fn told(&self, asker: Option<&PeerIdentity>, asks: Asks) -> (Option<Key>, u64, Option<Table>, Standing) {
        let mut board = self.board();
        let key = asker.filter(|_| asks.key).and_then(|asker| board.ears.issue(asker));
        let table = board.table.clone();
        (key, table.version, (asks.table != table.version).then(|| (*table).clone()), board.standing)
    }

    /// From now on the datagrams of hosts that were revoked are not believed. A host that joined again is given a new key.
    pub fn forget(&self, revoked: &Revocations) {
        self.board().forget(|site, host| revoked.concern(site, host));
    }

    /// Whether datagrams can be received.
    pub(super) fn listens(&self, open: bool) {
        self.board().ears.open = open;
    }

    /// The datagrams that are to be sent now.
    pub(super) fn due(&self) -> Vec<(SocketAddr, [u8; beat::LENGTH])> {
        self.board().due()
    }

    /// A datagram came: what it is answered with.
    pub(super) fn came(&self, bytes: &[u8]) -> Option<[u8; beat::LENGTH]> {
        self.board().came(bytes)
    }

    fn board(&self) -> Held<'_> {
        Held::now(self.board.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn resolved(address: &str) -> Option<SocketAddr> {
    tokio::net::lookup_host(address).await.ok()?.next()
}

/// Every agent that is to be probed.
fn wanted(snapshot: &Snapshot, own: &[String]) -> BTreeSet<(SiteName, String)> {
    let all = snapshot.sites.values().flat_map(|site| {
        site.peers.iter().filter(|address| !own.contains(address)).map(|address| (site.name.clone(), address.clone()))
    });
    all.take(MAX_PEERS).collect()
}
