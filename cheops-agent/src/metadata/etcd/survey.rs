//! Which members there are, how far each is, and which is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use etcd_client::Client;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::dial;
use super::trouble::{Kind, Trouble};
use crate::config::EtcdConfig;
use crate::metadata::cluster::{Cluster, Member, Told};

/// How long one member may take to say how it is, with the connection.
const PATIENCE: Duration = Duration::from_secs(4);
/// Members that are asked, however many the cluster lists.
const ASKED: usize = 32;
/// Letters of a version, and of an alarm's name, however long a member says they are.
const SHOWN: usize = 64;
/// How long a member that failed is left for others.
const SHUNNED: Duration = Duration::from_secs(20);
/// A member is nearer if it takes less than that part of the time, in percent, and is not just a little nearer.
const NEARER_PERCENT: u32 = 70;
const NEARER: Duration = Duration::from_millis(2);

/// What a member said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub rtt: Duration,
    /// What it said; none where it tells only users.
    pub told: Option<Told>,
}

/// By URL.
pub type Answers = BTreeMap<String, Result<Answer, Trouble>>;

/// Asks members how they are, over connections that stay.
pub struct Survey {
    config: EtcdConfig,
    clients: BTreeMap<String, Client>,
    /// Members that failed while they were asked for more, and when.
    shunned: BTreeMap<String, Instant>,
    listed: Vec<Listed>,
}

/// A member as the cluster lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub id: u64,
    pub name: String,
    pub clients: Vec<String>,
    pub peers: Vec<String>,
}

impl Survey {
    pub fn new(config: &EtcdConfig) -> Self {
        Self { config: config.clone(), clients: BTreeMap::new(), shunned: BTreeMap::new(), listed: Vec::new() }
    }

    /// Asks all at once; takes [`PATIENCE`] at most.
    pub async fn ask(&mut self) -> Answers {
        let urls = self.urls();
        self.clients.retain(|url, _| urls.contains(url));
        let (config, clients) = (&self.config, &self.clients);
        let asked = join_all(urls.into_iter().map(|url| async move {
            let known = clients.get(&url).cloned();
            let answer = match timeout(PATIENCE, Box::pin(one(config, &url, known))).await {
                Ok(answer) => answer,
                Err(_) => Err(Trouble::silence(PATIENCE)),
            };
            (url, answer)
        }))
        .await;
        let mut told = Answers::new();
        for (url, answer) in asked {
            match answer {
                Ok((client, answer)) => {
                    self.clients.insert(url.clone(), client);
                    told.insert(url, Ok(answer));
                }
                Err(trouble) => {
                    // The next time it is dialled anew.
                    self.clients.remove(&url);
                    told.insert(url, Err(trouble));
                }
            }
        }
        told
    }

    /// The endpoints of the configuration, then those that the cluster lists and that may be reached from here.
    fn urls(&self) -> BTreeSet<String> {
        let scheme = |url: &str| url.split_once("://").map(|(scheme, _)| scheme.to_owned());
        let own = self.config.endpoints.first().and_then(|url| scheme(url));
        let listed = self.listed.iter().flat_map(|member| &member.clients);
        let listed = listed.filter(|url| scheme(url) == own && elsewhere(url));
        self.config.endpoints.iter().chain(listed).take(ASKED).cloned().collect()
    }

    /// From now on these are the members.
    pub fn listed(&mut self, members: Vec<Listed>) {
        self.listed = members;
    }

    /// The members, and whether each answered. None before they were ever listed.
    pub fn cluster(&self, told: &Answers) -> Option<Cluster> {
        if self.listed.is_empty() {
            return None;
        }
        let leader = said(told).find_map(|told| told.leader);
        let leader = leader.and_then(|id| self.listed.iter().find(|member| member.id == id));
        let members = self.listed.iter().map(|member| Member {
            name: member.name.clone(),
            urls: member.clients.iter().chain(&member.peers).cloned().collect(),
            up: up(member, told),
            timers: None,
            told: said(told).find(|told| told.id == member.id).cloned(),
        });
        Some(Cluster { members: members.collect(), leader: leader.map(|leader| leader.name.clone()) })
    }

    /// The member's others are tried first for a while.
    pub fn shun(&mut self, url: &str) {
        self.shunned.retain(|_, since| since.elapsed() < SHUNNED);
        self.shunned.insert(url.to_owned(), Instant::now());
    }

    /// The nearest endpoint that serves.
    ///
    /// # Errors
    /// Why none does.
    pub fn nearest(&self, told: &Answers) -> Result<String, String> {
        let shunned = |url: &str| self.shunned.get(url).is_some_and(|since| since.elapsed() < SHUNNED);
        let of_ours = || told.iter().filter(|(url, _)| self.config.endpoints.contains(url));
        let serves = of_ours().filter_map(|(url, answer)| Some((url, usable(answer)?)));
        match serves.min_by_key(|(url, rtt)| (shunned(url), *rtt)) {
            Some((url, _)) => Ok(url.clone()),
            None => Err(why_none(of_ours())),
        }
    }

    /// An endpoint that is much nearer than `current`.
    pub fn nearer(&self, current: &str, told: &Answers) -> Option<String> {
        let now = usable(told.get(current)?)?;
        let best = self.nearest(told).ok()?;
        let rtt = usable(told.get(&best)?)?;
        (rtt + NEARER < now && rtt * 100 < now * NEARER_PERCENT).then_some(best)
    }
}

/// The distance of a member that has a leader, as far as it is known.
fn usable(answer: &Result<Answer, Trouble>) -> Option<Duration> {
    let leads = |answer: &&Answer| answer.told.as_ref().is_none_or(|told| told.leader.is_some());
    answer.as_ref().ok().filter(leads).map(|answer| answer.rtt)
}

fn why_none<'a>(told: impl Iterator<Item = (&'a String, &'a Result<Answer, Trouble>)>) -> String {
    let mut whys: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (url, answer) in told {
        let why = match answer {
            Ok(_) => "it has no leader: too few members are up and reach each other".to_owned(),
            Err(trouble) => trouble.text.clone(),
        };
        whys.entry(why).or_default().push(url);
    }
    let lines: Vec<String> = whys.into_iter().map(|(why, urls)| format!("{}: {why}", urls.join(", "))).collect();
    lines.join("; ")
}

/// One member's answer, with the connection. The time of an open connection's request is the distance.
async fn one(config: &EtcdConfig, url: &str, known: Option<Client>) -> Result<(Client, Answer), Trouble> {
    let client = match known {
        Some(client) => client,
        None => {
            let client = dial::anonymous(config, url).await?;
            status(client.clone()).await.map_err(|trouble| encrypted(url, trouble))?;
            client
        }
    };
    let answer = status(client.clone()).await?;
    Ok((client, answer))
}

/// A member that talks TLS ends plain connections without a word.
fn encrypted(url: &str, mut trouble: Trouble) -> Trouble {
    let ended = ["broken pipe", "connection reset", "closed before"].iter().any(|part| trouble.text.contains(part));
    if ended && url.starts_with("http://") {
        trouble.text += "; if this member talks TLS, write https in [metadata] endpoints";
    }
    trouble
}

async fn status(client: Client) -> Result<Answer, Trouble> {
    let begin = Instant::now();
    let answer = client.maintenance_client().status().await;
    let rtt = begin.elapsed();
    match answer.map_err(Trouble::from) {
        Ok(status) => {
            let told = Told {
                id: status.header().map_or(0, |header| header.member_id()),
                leader: Some(status.leader()).filter(|leader| *leader != 0),
                version: status.version().chars().take(SHOWN).collect(),
                learner: status.is_learner(),
                applied: status.raft_applied_index(),
                database: u64::try_from(status.db_size()).unwrap_or(0),
                alarms: status.errors().iter().take(ASKED).filter_map(|error| alarm(error)).collect(),
            };
            Ok(Answer { rtt, told: Some(told) })
        }
        // It tells nobody without a user: it is there all the same.
        Err(Trouble { kind: Kind::Refused | Kind::Stranger, .. }) => Ok(Answer { rtt, told: None }),
        Err(trouble) => Err(trouble),
    }
}

/// An alarm as members tell it among their errors: `memberID:10276657743932975437 alarm:NOSPACE`.
fn alarm(error: &str) -> Option<(u64, String)> {
    let (id, name) = error.strip_prefix("memberID:")?.split_once(" alarm:")?;
    Some((id.trim().parse().ok()?, name.trim().chars().take(SHOWN).collect()))
}

/// What members said.
fn said(told: &Answers) -> impl Iterator<Item = &Told> {
    told.values().flatten().filter_map(|answer| answer.told.as_ref())
}

/// A member that advertises loopback means its own host.
fn elsewhere(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    !["localhost", "127.", "[::1]", "0.0.0.0", "[::]"].iter().any(|local| host.starts_with(local))
}

fn up(member: &Listed, told: &Answers) -> Option<bool> {
    if said(told).any(|told| told.id == member.id) {
        return Some(true);
    }
    member.clients.iter().any(|url| matches!(told.get(url), Some(Err(_)))).then_some(false)
}

#[cfg(test)]
mod tests;
