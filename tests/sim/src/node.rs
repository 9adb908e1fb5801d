//! One site's agent, and what a host does for it.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cheops_agent::config::Probes;
use cheops_agent::metadata::latency::State;
use cheops_agent::metadata::record::{CertificateFacts, Standing};
use cheops_agent::names::SiteName;
use cheops_agent::peer::{Address, Board, PeerIdentity, Sites};

use crate::wire::Traffic;

const PORT: u16 = 7117;

/// A site's agent.
pub struct Node {
    pub board: Board,
    pub identity: PeerIdentity,
    pub certificate: CertificateFacts,
    /// When it was started; none while it is dead.
    pub born: Option<Duration>,
    /// Counts its starts.
    pub run: u32,
    /// Probes over links that are under way: to whom, and their number.
    pub under_way: HashMap<usize, u64>,
    /// Links that are up, or will be then; and which run of the other they lead to.
    pub links: HashMap<usize, (u32, Duration)>,
    pub sent: Traffic,
    /// When its loop comes round next, and when it did before.
    pub next_round: Duration,
    pub last_round: Duration,
    pub ticks: u64,
    /// Sites that it saw dead at its last review.
    pub dead: BTreeSet<SiteName>,
    sites: Arc<Sites>,
}

/// The name of the site with that number.
pub fn name(number: usize) -> SiteName {
    format!("Site-{number:04}").into()
}

/// The number of the site with that name.
pub fn number(name: &SiteName) -> usize {
    name.as_str().rsplit('-').next().and_then(|digits| digits.parse().ok()).expect("a name of ours")
}

/// Where its agent is.
pub fn address(number: usize) -> SocketAddr {
    let [.., high, low] = number.to_be_bytes();
    (Ipv4Addr::new(10, high, low, 1), PORT).into()
}

/// Whose address that is.
pub fn at(address: &SocketAddr) -> usize {
    match address {
        SocketAddr::V4(address) => {
            let [_, high, low, _] = address.ip().octets();
            usize::from(high) << 8 | usize::from(low)
        }
        SocketAddr::V6(_) => unreachable!("addresses here are IPv4"),
    }
}

/// The agent of the site with that number, as others address it.
pub fn key(number: usize) -> Address {
    (name(number), address(number).to_string())
}

impl Node {
    pub fn new(number: usize, of: usize) -> Self {
        let others = (0..of).filter(|other| *other != number).map(key).map(|(site, agent)| (site, vec![agent]));
        Self {
            board: Board::new(0),
            identity: PeerIdentity {
                federation: "federation".to_owned(),
                site: name(number),
                host: format!("host-{number:04}").as_str().into(),
            },
            certificate: CertificateFacts {
                serial: format!("{number:040x}"),
                expires: 1_800_000_000_000,
                authority: "a".repeat(64),
            },
            born: None,
            run: 0,
            under_way: HashMap::new(),
            links: HashMap::new(),
            sent: Traffic::default(),
            next_round: Duration::ZERO,
            last_round: Duration::ZERO,
            ticks: 0,
            dead: BTreeSet::new(),
            sites: Arc::new(others.collect()),
        }
    }

    /// Starts it, knowing nothing but who there is.
    pub fn start(&mut self, reach: Probes, seed: u64, now: Duration) {
        self.board = Board::new(seed);
        self.board.reach(reach);
        self.board.listens(true);
        self.born = Some(now);
        self.run += 1;
        (self.next_round, self.last_round) = (now, now);
        self.dead.clear();
        self.look(now);
    }

    /// It falls silent, and nobody is told.
    pub fn die(&mut self) {
        self.born = None;
        self.run += 1;
        self.under_way.clear();
        self.links.clear();
    }

    /// Tells its board the time, which counts from its own start. False if it is dead.
    pub fn look(&mut self, now: Duration) -> bool {
        let Some(born) = self.born else { return false };
        self.board.look(now - born);
        true
    }

    /// Whom it probes from now on, by their numbers.
    pub fn choose(&mut self) -> Vec<(usize, Address)> {
        let own = (&self.identity.site, Standing::Active);
        self.board.choose(Some(own), &self.sites).into_iter().map(|key| (number(&key.0), key)).collect()
    }

    /// How it sees a site.
    pub fn sees(&self, site: usize) -> State {
        self.board.site(&name(site)).state
    }

    /// Which sites it probes, and had an answer of.
    pub fn probed(&self) -> BTreeSet<usize> {
        let peers = self.board.peers();
        peers.iter().filter(|(_, _, status)| status.age.is_some()).map(|(site, _, _)| number(site)).collect()
    }
}
