//! What the probes came to, and what other sites tell. Knows no clock and no socket: who holds it tells the time, sends
//! what it wants sent and brings what came.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::agent::Agent;
use super::choice::{Choice, Other};
use super::published::Published;
use super::telling::Telling;
use crate::config::Probes;
use crate::metadata::latency::hearsay::{ALL, Heard, Hearsay, MOST_WORDS, NEWS, Word};
use crate::metadata::latency::{Coordinate, Rtt, State, Vivaldi};
use crate::metadata::record::Standing;
use crate::names::{HostName, SiteName};
use crate::peer::PeerIdentity;
use crate::peer::beat::{self, Ears};
use crate::peer::hello::{Asks, Hello, Told};
use crate::peer::table::Row;

/// A longer time between two looks is no time in which peers were silent: this agent itself stood still.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// One that hasn't answered for so long is not heard.
const DEAF: Duration = Duration::from_secs(3);
/// A dead site that others say is dead, too, is probed for so long yet.
const GONE: Duration = Duration::from_secs(30);
/// A life that a site began within this after it last answered is over, too: word of it was on its way.
pub(super) const LAST_WORD: Duration = Duration::from_secs(10);
/// Agents that are probed at most, whatever the sites that are chosen have.
const MOST_AGENTS: usize = 10_000;

/// An agent: its site and `host:port`.
pub type Address = (SiteName, String);
/// Every site with the agents that can be probed.
pub type Sites = BTreeMap<SiteName, Vec<String>>;

/// Everything that is known.
pub struct Board {
    /// The time in which this agent looked. It never goes back, and stands still while the agent does.
    pub(super) now: Duration,
    looked: Option<Duration>,
    random: StdRng,
    pub(super) here: Option<SiteName>,
    /// How the own site takes part.
    standing: Standing,
    pub(super) sites: Arc<Sites>,
    pub(super) choice: Choice,
    pub(super) agents: BTreeMap<Address, Agent>,
    /// Whose probes are sealed with which key.
    aims: HashMap<u64, Address>,
    pub(super) ears: Ears,
    /// What this agent tells others.
    telling: Telling,
    pub(super) place: Vivaldi,
    pub(super) hearsay: Hearsay,
    pub(super) heard: Arc<BTreeMap<SiteName, Heard>>,
    pub(super) heard_at: Option<Duration>,
    /// The lives that this agent says are over.
    over: BTreeMap<SiteName, u64>,
    pub(super) published: Published,
}

impl Board {
    /// Nothing is known yet. `seed`: of whatever is random.
    pub fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        Self {
            now: Duration::ZERO,
            looked: None,
            here: None,
            standing: Standing::default(),
            sites: Arc::default(),
            choice: Choice::default(),
            agents: BTreeMap::new(),
            aims: HashMap::new(),
            ears: Ears::default(),
            telling: Telling::new(random.random()),
            place: Vivaldi::default(),
            hearsay: Hearsay::new(random.random()),
            heard: Arc::default(),
            heard_at: None,
            over: BTreeMap::new(),
            published: Published::default(),
            random,
        }
    }

    /// How many sites are probed, from the next choice on.
    pub fn reach(&mut self, reach: Probes) {
        if self.choice.reach != reach {
            self.choice.reach = reach;
            self.choice.again();
        }
    }

    /// It is now `at`, since some start.
    pub fn look(&mut self, at: Duration) {
        let passed = self.looked.map_or(Duration::ZERO, |looked| at.saturating_sub(looked));
        self.now += passed.min(STOOD_STILL);
        self.looked = Some(at);
    }

    /// The time by this board: it stands still while nobody looks.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Where the own site lies.
    pub fn coordinate(&self) -> Option<Coordinate> {
        self.place.coordinate()
    }

    /// Whether no agent of the own site lives whose name comes before this one's.
    pub fn is_first(&self, host: &HostName) -> bool {
        let before = |agent: &Agent| {
            agent.state(self.now) == State::Alive && agent.host.as_ref().is_some_and(|other| other < host)
        };
        self.here.as_ref().is_some_and(|here| !self.of(here).any(before))
    }

    /// Whether datagrams can be received.
    pub fn listens(&mut self, open: bool) {
        self.ears.open = open;
    }

    /// A request goes to the site: it is probed for a while.
    pub fn requested(&mut self, site: &SiteName) {
        if self.here.as_ref() != Some(site) && self.sites.contains_key(site) {
            self.choice.requested(site, self.now);
        }
    }

    /// Which agents are probed now; what was known of all others is forgotten. `own` is this site, and how it takes part.
    pub fn choose(&mut self, own: Option<(&SiteName, Standing)>, sites: &Arc<Sites>) -> BTreeSet<Address> {
        let here = own.map(|(site, _)| site);
        self.here = here.cloned();
        self.standing = own.map(|(_, standing)| standing).unwrap_or_default();
        if !Arc::ptr_eq(&self.sites, sites) {
            self.sites = sites.clone();
            self.choice.again();
            self.hearsay.retain(|site| sites.contains_key(site) || here == Some(site));
        }
        if self.choice.is_due(self.now) {
            let own = self.place.coordinate().filter(Coordinate::is_found);
            let probed: BTreeSet<&SiteName> = self.agents.keys().map(|(site, _)| site).collect();
            let of = |(site, _)| {
                let probed = probed.contains(site);
                let (distance, gone) = (self.far(site, probed, own.as_ref()), self.is_gone(site, probed));
                Other { site, distance, gone }
            };
            let others: Vec<_> = sites.iter().filter(|(site, _)| here != Some(*site)).map(of).collect();
            let nowhere = SiteName::from("");
            self.choice.choose(here.unwrap_or(&nowhere), &others, self.now, &mut self.random);
        }
        let chosen: Vec<_> = match self.choice.chosen(self.now) {
            None => sites.iter().collect(),
            Some(chosen) => chosen.iter().chain(here).filter_map(|site| sites.get_key_value(site)).collect(),
        };
        let agents =
            chosen.into_iter().flat_map(|(site, all)| all.iter().map(|address| (site.clone(), address.clone())));
        let wanted: BTreeSet<Address> = agents.take(MOST_AGENTS).collect();
        self.agents.retain(|key, _| wanted.contains(key));
        self.aims.retain(|_, key| wanted.contains(key));
        for key in &wanted {
            if !self.agents.contains_key(key) {
                self.agents.insert(key.clone(), Agent::default());
            }
        }
        wanted
    }

    /// How far it is to the site, as measured, else as estimated.
    fn far(&self, site: &SiteName, probed: bool, own: Option<&Coordinate>) -> Option<Duration> {
        let least = |agent: &Agent| agent.track.rtt(self.now).and_then(Rtt::least);
        let measured = probed.then(|| self.of(site).filter_map(least).min()).flatten();
        // A site that hasn't found its place yet seems to be near to all.
        let there = || self.hearsay.coordinate(site).filter(Coordinate::is_found);
        measured.or_else(|| Some(own?.to(&there()?).rtt))
    }

    fn is_gone(&self, site: &SiteName, probed: bool) -> bool {
        let silent = |agent: &Agent| agent.track.age(self.now).is_none_or(|age| age > GONE);
        self.hearsay.state(site, self.now) == State::Dead && (!probed || self.of(site).all(silent))
    }

    /// The agents of the site that are probed.
    pub(super) fn of(&self, site: &SiteName) -> impl Iterator<Item = &Agent> {
        let from = (site.clone(), String::new());
        self.agents.range(from..).take_while(move |((of, _), _)| of == site).map(|(_, agent)| agent)
    }

    /// Whether the agent's link is to be probed now.
    pub fn hello_due(&self, key: &Address) -> bool {
        self.agents.get(key).is_none_or(|agent| agent.hello_due(self.now))
    }

    /// What the agent is to be asked for besides its hello.
    pub fn asks(&mut self, key: &Address) -> Asks {
        let (now, open) = (self.now, self.ears.open);
        let (few, some) = (self.hearsay.len() * 2 < self.sites.len(), self.hearsay.len() * 10 < self.sites.len() * 9);
        let everything = few || (some && self.random.random_ratio(1, 16));
        let Some(agent) = self.agents.get_mut(key) else { return Asks::default() };
        let wants = agent.ask(now);
        let news = self.choice.is_source(&key.0).then_some(match agent.news {
            Some(after) if !some || few => after,
            _ if everything => ALL,
            Some(after) => after,
            None => NEWS,
        });
        let own = self.here.as_ref().and_then(|here| self.hearsay.word(here, now));
        Asks {
            key: wants && open,
            table: agent.tells.as_ref().map_or(0, |(table, _)| table.version),
            news,
            certificate: agent.serial(),
            word: own.filter(|word| word.life != agent.pushed),
        }
    }

    /// The agent answered over its link what it was asked for with `asked`. `to`: where its datagrams go.
    pub fn answered(&mut self, key: &Address, asked: &Asks, hello: Hello, took: Duration, to: Option<SocketAddr>) {
        let (now, mut hello) = (self.now, hello);
        let Some(agent) = self.agents.get_mut(key) else { return };
        let old = agent.aim.as_ref().map(beat::Aim::id);
        agent.answered(&mut hello, took, to, now);
        if let Some(id) = agent.aim.as_ref().map(beat::Aim::id).filter(|id| Some(*id) != old) {
            if let Some(old) = old {
                self.aims.remove(&old);
            }
            self.aims.insert(id, key.clone());
        }
        if let Some(word) = &asked.word {
            agent.pushed = word.life;
        }
        if asked.news.is_some() {
            agent.news = Some(hello.next);
        }
        let took = agent.track.rtt(now).and_then(Rtt::filtered);
        if let (Some(place), Some(took), true) = (&hello.coordinate, took, self.here.as_ref() != Some(&key.0)) {
            self.place.learn(took, place, &mut self.random);
        }
        for word in hello.words.iter().take(MOST_WORDS) {
            self.hear(word);
        }
    }

    fn hear(&mut self, word: &Word) {
        let own = self.here.as_ref() == Some(&word.site);
        if !own && !self.sites.contains_key(&word.site) {
            return;
        }
        if own && self.hearsay.life(&word.site) == 0 {
            // What others remember of this site from before it was started again.
            if let Some(place) = word.coordinate.filter(|_| self.place.coordinate().is_none()) {
                self.place = Vivaldi::at(&place);
            }
        }
        self.hearsay.hear(word, self.now);
    }

    /// The agent didn't answer over its link.
    pub fn failed(&mut self, key: &Address, trouble: String) {
        if let Some(agent) = self.agents.get_mut(key) {
            agent.trouble = Some(trouble);
        }
    }

    /// What a peer is told that asks who this agent is.
    pub fn told(&mut self, asker: Option<&PeerIdentity>, asks: &Asks) -> Told {
        let beat = asker.filter(|_| asks.key).and_then(|asker| self.ears.issue(asker, self.now));
        if let Some(word) = asks.word.as_ref().filter(|word| asker.is_some_and(|asker| asker.site == word.site)) {
            self.hear(word);
        }
        let (words, next) = asks.news.map(|after| self.hearsay.tell(after, self.now)).unwrap_or_default();
        let (version, table) = (self.telling.version(), self.telling.since(asks.table));
        let (coordinate, standing) = (Some(self.place.start()), self.standing);
        Told { beat, table_version: version, table, coordinate, words, next, standing }
    }

    /// Believes no datagram any more of the hosts of which `gone` is true.
    pub(super) fn forget(&mut self, gone: impl Fn(&SiteName, &HostName) -> bool) {
        self.ears.forget(&gone);
        for ((site, _), agent) in &mut self.agents {
            if agent.host.as_ref().is_some_and(|host| gone(site, host))
                && let Some(aim) = agent.aim.take()
            {
                self.aims.remove(&aim.id());
            }
        }
    }

    /// The datagrams that are to be sent now.
    pub fn due(&mut self) -> Vec<(SocketAddr, [u8; beat::LENGTH])> {
        let (now, at) = (self.now, self.looked.unwrap_or_default());
        let mut due = Vec::new();
        for agent in self.agents.values_mut() {
            let Agent { aim: Some(aim), track, .. } = agent else { continue };
            if aim.due > now {
                continue;
            }
            aim.due = now + track.pause(now).mul_f64(self.random.random_range(0.8..1.2));
            let deaf = track.age(now).is_none_or(|age| age > DEAF);
            due.push((aim.to, aim.probe(at, deaf)));
        }
        due
    }

    /// A datagram came: an answer is taken, a probe answered.
    pub fn came(&mut self, bytes: &[u8]) -> Option<[u8; beat::LENGTH]> {
        let (now, at) = (self.now, self.looked?);
        if let Some(key) = self.aims.get(&beat::key_of(bytes)?) {
            let agent = self.agents.get_mut(key)?;
            let took = agent.aim.as_mut()?.answer(bytes, at, now)?;
            agent.track.heard(now);
            agent.track.took(now, took);
            return None;
        }
        let agents = &self.agents;
        let hears = |site: &SiteName| {
            let from = (site.clone(), String::new());
            let mut of_site = agents.range(from..).take_while(|((of, _), _)| of == site).peekable();
            // Who isn't probed can't be heard, and that is no cut.
            of_site.peek().is_none() || of_site.any(|(_, agent)| agent.track.age(now).is_some_and(|age| age <= DEAF))
        };
        self.ears.hear(bytes, now, hears)
    }

    /// Looks at what the probes came to, and renews what is told to others. To be called several times a second.
    pub fn review(&mut self) -> Vec<Row> {
        let Some(here) = self.here.clone() else { return Vec::new() };
        let probed: BTreeSet<SiteName> = self.agents.keys().map(|(site, _)| site.clone()).collect();
        self.over.retain(|site, _| probed.contains(site));
        let rows: Vec<Row> =
            probed.iter().filter(|site| **site != here).map(|site| self.measured(site).row(site)).collect();
        for row in &rows {
            match row.state {
                State::Dead => self.deny(&here, &row.site),
                State::Alive => drop(self.over.remove(&row.site)),
                State::Suspect | State::Unknown => {}
            }
        }
        self.hearsay.live(&here, self.standing, self.place.coordinate(), self.now);
        self.telling.tell(&rows);
        rows
    }

    /// Says that the site's life is over: the one that was known when it fell silent, and no other that it began since.
    fn deny(&mut self, here: &SiteName, site: &SiteName) {
        if self.of(site).all(|agent| agent.track.age(self.now).is_none()) {
            // It never answered here. That is no reason to say that it died, who heard it does.
            return;
        }
        let known = self.hearsay.life(site);
        let mut life = *self.over.entry(site.clone()).or_insert(known);
        if known > life {
            let silent = self.of(site).filter_map(|agent| agent.track.age(self.now)).min();
            let began = self.hearsay.word(site, self.now).map(|word| Duration::from_secs(word.age.into()));
            if silent.zip(began).is_some_and(|(silent, began)| began + LAST_WORD > silent) {
                life = known;
                self.over.insert(site.clone(), life);
            }
        }
        self.hearsay.accuse(site, life, here, self.now);
    }
}
