//! What the probes came to, and what other sites tell.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::status::PeerStatus;
use super::table::{MOST_ROWS, Row, Table};
use crate::metadata::latency::{self, Measured, Rtt, State, Track};
use crate::metadata::record::{CertificateFacts, Standing};
use crate::metadata::{Distances, Site};
use crate::names::{HostName, SiteName};
use crate::peer::beat::{self, Aim, Ears};
use crate::peer::client::{Asks, Hello};

/// A longer time between two looks is no time in which peers were silent: this agent itself stood still.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// While datagrams are answered, the link is probed this often: it is there, what is asked for is the other's table.
const LINK_PAUSE: Duration = Duration::from_millis(1800);
/// Datagrams without an answer for so long: the link's answers are measured instead, and a new key is asked for.
const NO_DATAGRAMS: Duration = Duration::from_secs(5);
/// Between two keys that are asked for, where no datagram was ever answered.
const NEXT_KEY: Duration = Duration::from_secs(30);
/// An agent whose link doesn't answer for so long is dead for requests, whatever its datagrams do.
const NO_LINK: Duration = Duration::from_secs(15);
/// One that hasn't answered for so long is not heard.
const DEAF: Duration = Duration::from_secs(3);

type Address = (SiteName, String);

/// Everything that is known.
#[derive(Default)]
pub(super) struct Board {
    /// The time in which this agent looked. It never goes back, and stands still while the agent does.
    now: Duration,
    looked: Option<Instant>,
    here: Option<SiteName>,
    /// How the own site takes part.
    pub(super) standing: Standing,
    agents: BTreeMap<Address, Agent>,
    /// Whose probes are sealed with which key.
    aims: HashMap<u64, Address>,
    pub(super) ears: Ears,
    /// What this agent tells others.
    pub(super) table: Arc<Table>,
}

/// One agent of another site, or of this one.
#[derive(Default)]
struct Agent {
    track: Track,
    host: Option<HostName>,
    version: Option<String>,
    trouble: Option<String>,
    aim: Option<Aim>,
    /// When its link was last asked, when it last answered, and when for a key.
    asked: Option<Duration>,
    linked: Option<Duration>,
    key: Option<Duration>,
    /// What it tells of other sites, and when it last said so.
    tells: Option<(Table, Duration)>,
    /// How it says that its site takes part.
    standing: Standing,
    certificate: Option<CertificateFacts>,
}

/// The board at the present time.
pub(super) struct Held<'a>(MutexGuard<'a, Board>);

impl<'a> Held<'a> {
    pub(super) fn now(mut board: MutexGuard<'a, Board>) -> Self {
        let at = Instant::now();
        let passed = board.looked.map_or(Duration::ZERO, |looked| at.saturating_duration_since(looked));
        board.now += passed.min(STOOD_STILL);
        board.looked = Some(at);
        Self(board)
    }
}

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

impl Agent {
    fn since(&self, when: Option<Duration>, now: Duration) -> Option<Duration> {
        when.map(|when| now.saturating_sub(when))
    }

    fn datagrams(&self, now: Duration) -> bool {
        let last = self.aim.as_ref().and_then(|aim| aim.last);
        self.since(last, now).is_some_and(|silent| silent < NO_DATAGRAMS)
    }

    fn state(&self, now: Duration) -> State {
        let no_link = self.since(self.linked, now).is_some_and(|silent| silent > NO_LINK);
        match self.track.state(now) {
            _ if no_link => State::Dead,
            // Its datagrams are back before its link is: requests can't go there yet.
            State::Alive if self.trouble.is_some() => State::Suspect,
            state => state,
        }
    }

    fn status(&self, now: Duration) -> PeerStatus {
        let rtt = self.track.rtt(now);
        let state = self.state(now);
        PeerStatus {
            state,
            rtt_min: rtt.and_then(Rtt::least),
            rtt: rtt.and_then(Rtt::usual),
            jitter: rtt.and_then(Rtt::jitter),
            loss: self.aim.as_ref().and_then(|aim| aim.answered.share()),
            loss_out: self.aim.as_ref().and_then(|aim| latency::share(aim.came.0, aim.came.1)),
            age: self.track.age(now),
            deaf: self.aim.as_ref().is_some_and(|aim| aim.deaf) && state == State::Alive,
            host: self.host.clone(),
            version: self.version.clone(),
            trouble: self.trouble.clone(),
            certificate: self.certificate.clone(),
            ..PeerStatus::default()
        }
    }
}

impl Board {
    /// Forgets agents that are not wanted any more. `here` is the own site.
    pub(super) fn wanted(&mut self, here: Option<&Site>, wanted: &BTreeSet<Address>) {
        self.here = here.map(|site| site.name.clone());
        self.standing = here.map(|site| site.standing).unwrap_or_default();
        self.agents.retain(|key, _| wanted.contains(key));
        self.aims.retain(|_, key| wanted.contains(key));
        for key in wanted {
            self.agents.entry(key.clone()).or_default();
        }
    }

    /// Whether the agent's link is to be probed now.
    pub(super) fn hello_due(&self, key: &Address) -> bool {
        let Some(agent) = self.agents.get(key) else { return true };
        let soon = agent.since(agent.asked, self.now).is_some_and(|asked| asked < LINK_PAUSE);
        !(soon && agent.trouble.is_none() && agent.datagrams(self.now))
    }

    /// What the agent is to be asked for besides its hello.
    pub(super) fn asks(&mut self, key: &Address) -> Asks {
        let (now, open) = (self.now, self.ears.open);
        let Some(agent) = self.agents.get_mut(key) else { return Asks::default() };
        agent.track.asked(now);
        agent.asked = Some(now);
        let pause = match &agent.aim {
            Some(aim) if aim.last.is_none() => NEXT_KEY,
            _ => NO_DATAGRAMS,
        };
        let wants = open && !agent.datagrams(now) && agent.since(agent.key, now).is_none_or(|asked| asked >= pause);
        Asks { key: wants, table: agent.tells.as_ref().map_or(0, |(table, _)| table.version) }
    }

    /// The agent answered over its link. `to`: where its datagrams go.
    pub(super) fn answered(&mut self, key: &Address, hello: Hello, took: Duration, to: Option<SocketAddr>) {
        let now = self.now;
        let Some(agent) = self.agents.get_mut(key) else { return };
        agent.track.heard(now);
        if !agent.datagrams(now) {
            agent.track.took(now, took);
        }
        agent.linked = Some(now);
        agent.trouble = None;
        agent.host = Some(hello.host);
        agent.version = Some(hello.version);
        agent.standing = hello.standing;
        agent.certificate = hello.certificate;
        if let (Some(issued), Some(to)) = (hello.beat, to) {
            let old = agent.aim.replace(Aim::new(to, &issued, now));
            agent.key = Some(now);
            if let Some(old) = old {
                self.aims.remove(&old.id());
            }
            self.aims.insert(issued.id, key.clone());
        }
        match (hello.table, &mut agent.tells) {
            (Some(mut table), tells) => {
                table.rows.truncate(MOST_ROWS);
                *tells = Some((table, now));
            }
            // What is told when it changes is still so.
            (None, Some((table, told))) if table.version == hello.table_version => *told = now,
            (None, _) => {}
        }
    }

    /// The agent didn't answer over its link.
    pub(super) fn failed(&mut self, key: &Address, trouble: String) {
        if let Some(agent) = self.agents.get_mut(key) {
            agent.trouble = Some(trouble);
        }
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
    pub(super) fn due(&mut self) -> Vec<(SocketAddr, [u8; beat::LENGTH])> {
        let (now, at) = (self.now, self.looked.unwrap_or_else(Instant::now));
        let mut due = Vec::new();
        for agent in self.agents.values_mut() {
            let Agent { aim: Some(aim), track, .. } = agent else { continue };
            if aim.due > now {
                continue;
            }
            aim.due = now + track.pause(now).mul_f64(rand::random_range(0.8..1.2));
            let deaf = track.age(now).is_none_or(|age| age > DEAF);
            due.push((aim.to, aim.probe(at, deaf)));
        }
        due
    }

    /// A datagram came: an answer is taken, a probe answered.
    pub(super) fn came(&mut self, bytes: &[u8]) -> Option<[u8; beat::LENGTH]> {
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
            let mut of_site = agents.iter().filter(|((of, _), _)| of == site).map(|(_, agent)| agent.track.age(now));
            of_site.any(|age| age.is_some_and(|age| age <= DEAF))
        };
        self.ears.hear(bytes, now, hears)
    }

    /// How the agent stands.
    pub(super) fn state(&self, site: &SiteName, address: &str) -> Option<State> {
        self.agents.get(&(site.clone(), address.to_owned())).map(|agent| agent.state(self.now))
    }

    /// What is known of each agent.
    pub(super) fn peers(&self) -> Vec<(SiteName, String, PeerStatus)> {
        let all = self.agents.iter();
        all.map(|((site, address), agent)| (site.clone(), address.clone(), agent.status(self.now))).collect()
    }

    /// What is known of the site, by its nearest agent that lives best.
    pub(super) fn site(&self, site: &SiteName) -> PeerStatus {
        let of_site = self.agents.iter().filter(|((of, _), _)| of == site).map(|(_, agent)| agent.status(self.now));
        let mut best =
            of_site.min_by_key(|status| (status.state, status.rtt_min.is_none(), status.rtt_min)).unwrap_or_default();
        let heard = self.ears.of(site);
        best.heard = heard.last.map(|last| self.now.saturating_sub(last));
        best.loss_in = heard.loss.share();
        best.deaf = match best.state {
            State::Alive => best.deaf,
            _ => heard.deaf && best.hears(),
        };
        best
    }

    /// All that a decision needs; renews what is told to others, too.
    pub(super) fn distances(&mut self) -> Distances {
        let mut distances = Distances::default();
        let Some(here) = self.here.clone() else { return distances };
        let sites: BTreeSet<SiteName> = self.agents.keys().map(|(site, _)| site.clone()).collect();
        let mut rows = Vec::new();
        for site in sites.iter().filter(|site| **site != here) {
            let status = self.site(site);
            distances.stands(site, status.state);
            let row = row(site, &status);
            if let Some(measured) = measured(&here, &row, Duration::ZERO) {
                distances.add(site, measured);
            }
            rows.push(row);
        }
        for ((by, _), agent) in &self.agents {
            if agent.since(agent.linked, self.now).is_some_and(|age| age < latency::TTL) {
                distances.takes_part(by, agent.standing);
            }
            let Some((table, told)) = &agent.tells else { continue };
            let known = |site: &SiteName| site != by && (*site == here || sites.contains(site));
            for row in table.rows.iter().filter(|row| known(&row.site)) {
                if let Some(measured) = measured(by, row, self.now.saturating_sub(*told)) {
                    distances.add(&row.site, measured);
                }
            }
        }
        self.tell(rows);
        distances
    }

    fn tell(&mut self, mut rows: Vec<Row>) {
        rows.sort_by_key(|row| (row.rtt_us.is_none(), row.rtt_us));
        rows.truncate(MOST_ROWS);
        rows.sort_by(|one, other| one.site.cmp(&other.site));
        let gist = |rows: &[Row]| -> Vec<_> { rows.iter().map(Row::gist).map(|gist| format!("{gist:?}")).collect() };
        if gist(&self.table.rows) != gist(&rows) {
            // A number that another run of this agent didn't use; 0 is "none".
            let version = rand::random::<u64>().max(1);
            self.table = Arc::new(Table { version, rows });
        }
    }
}

fn row(site: &SiteName, status: &PeerStatus) -> Row {
    let micros = |time: Option<Duration>| time.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    Row {
        site: site.clone(),
        state: status.state,
        rtt_us: micros(status.rtt_min),
        usual_us: micros(status.rtt),
        age_ms: status.age.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        hears: status.hears(),
    }
}

/// What a row says that `by` told `told` ago.
fn measured(by: &SiteName, row: &Row, told: Duration) -> Option<Measured> {
    let rtt = row.rtt()?;
    Some(Measured {
        rtt,
        usual: row.usual_us.map_or(rtt, Duration::from_micros),
        age: Duration::from_millis(row.age_ms).saturating_add(told),
        by: by.clone(),
        state: row.state,
        hears: row.hears,
    })
}
