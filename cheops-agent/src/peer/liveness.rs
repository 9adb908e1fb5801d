//! Which peers live, and how far away they are: the agents of some sites are probed all the time, over their links and
//! with datagrams beside these; of the other sites there is word. `choice` says which are probed, `board` keeps what came
//! of it, `view` reads it, `published` is what sites publish for all. Here are the clock, the links and the tasks; the board has none.

mod agent;
mod board;
mod choice;
mod published;
mod status;
mod telling;
mod view;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

pub use self::board::{Address, Board, Sites};
use self::published::Published;
pub use self::published::Publisher;
pub use self::status::{PeerState, PeerStatus};
use super::beat;
use super::client::Client;
use super::hello::{Asks, Told};
use super::{PeerIdentity, Revocations};
use crate::config::Probes;
use crate::metadata::record::{Latencies, Millis};
use crate::metadata::{Distances, Site, Snapshot, View};
use crate::names::{HostName, SiteName};

/// Between two probes of one agent over its link, jittered by a fifth.
const EVERY: Duration = Duration::from_secs(1);
/// A probe over the link that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often what is known is put together for decisions.
const REFRESH: Duration = Duration::from_millis(200);
/// The board on which probes write, and from which decisions, `status` and other sites read.
pub struct Liveness {
    board: Mutex<Board>,
    /// The board's time counts from here.
    start: Instant,
    distances: ArcSwap<Distances>,
}

/// The board at the present time.
struct Held<'a>(MutexGuard<'a, Board>);

impl Deref for Held<'_> {
    type Target = Board;
    fn deref(&self) -> &Board {
        &self.0
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Board {
        &mut self.0
    }
}

impl Liveness {
    /// Nothing is known yet.
    pub fn new() -> Arc<Self> {
        let board = Mutex::new(Board::new(rand::random()));
        Arc::new(Self { board, start: Instant::now(), distances: ArcSwap::default() })
    }

    /// How many sites are probed, from the next choice on.
    pub fn reach(&self, reach: Probes) {
        self.board().reach(reach);
    }

    /// What sites published, for where they tell nothing here themselves. `silent`: since the backend gave a sign of
    /// life; `wall`: what the time is.
    pub fn learn(&self, view: &View, silent: Option<Duration>, wall: Millis) {
        let mut board = self.board();
        let published = Published::read(view, silent, wall, board.now());
        board.published = published;
    }

    /// What the own site is to publish now, if anything: by the first of its agents that lives, by name. `host` is this
    /// one's.
    pub fn publish(&self, publisher: &mut Publisher, host: &HostName, wall: Millis) -> Option<Latencies> {
        let mut board = self.board();
        if !board.is_first(host) {
            return None;
        }
        let (rows, coordinate, now) = (board.review(), board.coordinate(), board.now());
        drop(board);
        publisher.due(&rows, coordinate, now, wall)
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

    /// The site with its agents in the order in which they are best tried: the dead ones last. A request goes there, so
    /// they are probed for a while.
    pub fn ordered(&self, site: &Site) -> Site {
        let mut board = self.board();
        board.requested(&site.name);
        let mut site = site.clone();
        let name = site.name.clone();
        site.peers.sort_by_key(|address| board.state(&name, address) == Some(PeerState::Dead));
        site
    }

    /// Probes the agents of the sites that are chosen, but for the addresses in `own`, until it is dropped. Each is probed
    /// at its own pace, so that a dead one delays no other. `snapshot` is asked again all the time.
    pub async fn run(&self, client: &Client, snapshot: impl Fn() -> Arc<Snapshot>, own: &[String]) {
        let mut probes = FuturesUnordered::new();
        let mut under_way = HashSet::new();
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut known, mut sites) = (snapshot(), Arc::new(Sites::new()));
        let mut all = HashSet::new();
        loop {
            let now = snapshot();
            if sites.is_empty() || !Arc::ptr_eq(&known, &now) {
                let read = agents(&now, own);
                // Made anew only when it differs: then the choice is, too.
                if *sites != read {
                    sites = Arc::new(read);
                    all = sites
                        .iter()
                        .flat_map(|(site, agents)| agents.iter().map(|address| (site.clone(), address.clone())))
                        .collect();
                }
                known = now.clone();
            }
            let wanted = self.board().choose(now.own_site().map(|site| (&site.name, site.standing)), &sites);
            // What goes on over a link that isn't probed any more goes on.
            client.retain(|key, busy| wanted.contains(key) || (busy && all.contains(key)));
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

    async fn probe(&self, client: &Client, key: Address) -> Address {
        let asks = self.board().asks(&key);
        let answer = client.hello(&key.0, &key.1, &asks, Instant::now() + PATIENCE).await;
        match answer {
            Ok((hello, took)) => {
                let to = match &hello.beat {
                    Some(_) => resolved(&key.1).await,
                    None => None,
                };
                self.board().answered(&key, &asks, hello, took, to);
            }
            Err(error) => self.board().failed(&key, error.to_string()),
        }
        key
    }

    fn refresh(&self) {
        let distances = self.board().distances();
        self.distances.store(Arc::new(distances));
    }

    /// What a peer is told that asks who this agent is.
    pub(super) fn told(&self, asker: Option<&PeerIdentity>, asks: &Asks) -> Told {
        self.board().told(asker, asks)
    }

    /// From now on the datagrams of hosts that were revoked are not believed. A host that joined again is given a new key.
    pub fn forget(&self, revoked: &Revocations) {
        self.board().forget(|site, host| revoked.concern(site, host));
    }

    /// Whether datagrams can be received.
    pub(super) fn listens(&self, open: bool) {
        self.board().listens(open);
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
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.look(self.start.elapsed());
        Held(board)
    }
}

async fn resolved(address: &str) -> Option<SocketAddr> {
    tokio::net::lookup_host(address).await.ok()?.next()
}

/// Every agent that might be probed.
fn agents(snapshot: &Snapshot, own: &[String]) -> Sites {
    let of = |site: &Site| site.peers.iter().filter(|address| !own.contains(address)).cloned().collect();
    let all: BTreeMap<SiteName, Vec<String>> =
        snapshot.sites.values().map(|site| (site.name.clone(), of(site))).collect();
    all.into_iter().filter(|(_, agents)| !agents.is_empty()).collect()
}
