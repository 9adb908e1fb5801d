//! What would happen if a site went, and what is down now: computed aloud, so that nobody finds it out on the day. Pure.
//!
//! Requests never wait for the metadata cluster, so they go on whatever happens to it. What needs its majority are
//! writes of metadata: members, tokens, names. Which sites have a majority together follows from where its members are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::cluster::{Cluster, Member, Timers};
use super::latency::{Distances, State};
use super::snapshot::Snapshot;
use crate::names::SiteName;

/// An answer that may not be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    Yes,
    No,
    Unknown,
}

/// Where metadata is kept, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub enum Kept<'a> {
    /// By each site for itself.
    Embedded,
    /// By a cluster; none while its members were never listed.
    Cluster { members: Option<&'a Cluster>, answers: bool },
}

/// A member of the cluster and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Placed {
    pub name: String,
    /// None where its addresses are no known site's.
    pub site: Option<SiteName>,
    pub up: Option<bool>,
    pub leads: bool,
    /// etcd's version there; this and what follows only of a member that was asked and answers.
    pub version: Option<String>,
    /// How many of the cluster's decisions it has carried out.
    pub applied: Option<u64>,
    pub database_bytes: Option<u64>,
    #[serde(skip)]
    pub timers: Option<Timers>,
}

/// What a member complains about: then nobody can write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Raised {
    pub member: String,
    /// `NOSPACE`, `CORRUPT`.
    pub alarm: String,
}

/// What remains if one site goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IfGone {
    pub site: SiteName,
    /// Whether the others can still write metadata.
    pub metadata_writes: Answer,
    /// Whether requests that don't need that site are still served: always.
    pub requests: Answer,
    /// Members that would be left, for certain.
    pub members_left: usize,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outlook {
    /// Whether this site can write metadata now.
    pub metadata_writes: Answer,
    pub members: Vec<Placed>,
    /// The members that must agree; 0 without a cluster.
    pub quorum: usize,
    pub alarms: Vec<Raised>,
    /// Sites that are down, as seen from here.
    pub down: Vec<SiteName>,
    pub if_gone: Vec<IfGone>,
}

impl Outlook {
    /// What is to be expected. `own` are addresses of this host.
    pub fn of(kept: Kept<'_>, snapshot: &Snapshot, distances: &Distances, own: &[IpAddr]) -> Self {
        let cluster = match kept {
            Kept::Cluster { members, .. } => members,
            Kept::Embedded => None,
        };
        let members = cluster.map(|cluster| placed(cluster, snapshot, own)).unwrap_or_default();
        let alarms = cluster.map(Cluster::alarms).unwrap_or_default();
        let alarms: Vec<Raised> = alarms.into_iter().map(|(member, alarm)| Raised { member, alarm }).collect();
        let quorum = if members.is_empty() { 0 } else { members.len() / 2 + 1 };
        let left = |gone: Option<&SiteName>| match kept {
            Kept::Embedded => Answer::Yes,
            Kept::Cluster { .. } if !alarms.is_empty() => Answer::No,
            Kept::Cluster { .. } => writes(&members, quorum, gone),
        };
        let others = snapshot.sites.values().filter(|site| !site.own);
        let down = others.filter(|site| distances.state(&site.name) == State::Dead).map(|site| site.name.clone());
        let if_gone = snapshot.sites.keys().map(|site| IfGone {
            site: site.clone(),
            metadata_writes: left(Some(site)),
            requests: Answer::Yes,
            members_left: members.iter().filter(|member| elsewhere(member, Some(site)) == Answer::Yes).count(),
        });
        let metadata_writes = match kept {
            Kept::Cluster { answers: false, .. } => Answer::No,
            _ if cluster.and_then(Cluster::led) == Some(false) => Answer::No,
            _ => left(None),
        };
        let (down, if_gone) = (down.collect(), if_gone.collect());
        Self { metadata_writes, quorum, down, if_gone, members, alarms }
    }

    /// Whether a cluster of so few members is no help: the loss of either ends writes, so two are worse than one.
    pub fn two_members(&self) -> bool {
        self.members.len() == 2
    }

    /// Sites each of which alone takes the majority with it. None where a single loss never does.
    pub fn fatal(&self) -> Vec<&SiteName> {
        self.if_gone.iter().filter(|gone| gone.metadata_writes == Answer::No).map(|gone| &gone.site).collect()
    }

    /// The longest round trip between sites that have members, and between which; by what any of them measured.
    pub fn farthest<'a>(&'a self, distances: &Distances) -> Option<(Duration, &'a SiteName, &'a SiteName)> {
        let sites: BTreeSet<&SiteName> = self.members.iter().filter_map(|member| member.site.as_ref()).collect();
        let pairs = sites
            .iter()
            .flat_map(|one| sites.iter().filter(move |other| one < *other).map(move |other| (*one, *other)));
        pairs.filter_map(|(one, other)| Some((distances.measured(one, other)?.usual, one, other))).max()
    }

    /// The timers that members tell, or etcd's own; and whether they were told.
    pub fn timers(&self) -> (Timers, bool) {
        let told = self.members.iter().filter_map(|member| member.timers).min_by_key(|timers| timers.election);
        (told.unwrap_or_default(), told.is_some())
    }
}

/// Whether the member still votes if that site goes.
fn elsewhere(member: &Placed, gone: Option<&SiteName>) -> Answer {
    match (&member.site, gone) {
        _ if member.up == Some(false) => Answer::No,
        (_, None) => Answer::Yes,
        (None, Some(_)) => Answer::Unknown,
        (Some(site), Some(gone)) if site == gone => Answer::No,
        (Some(_), Some(_)) => Answer::Yes,
    }
}

fn writes(members: &[Placed], quorum: usize, gone: Option<&SiteName>) -> Answer {
    let count = |wanted| members.iter().filter(|member| elsewhere(member, gone) == wanted).count();
    match (count(Answer::Yes), count(Answer::Unknown)) {
        _ if members.is_empty() => Answer::Unknown,
        (certain, _) if certain >= quorum => Answer::Yes,
        (certain, perhaps) if certain + perhaps < quorum => Answer::No,
        _ => Answer::Unknown,
    }
}

/// Each member at the site that has one of its addresses, or whose name, or host's name, it has itself.
fn placed(cluster: &Cluster, snapshot: &Snapshot, own: &[IpAddr]) -> Vec<Placed> {
    let addresses = addresses(snapshot, own);
    let place = |member: &Member| {
        let by_address = member.urls.iter().filter_map(|url| host_of(url)).find_map(|host| addresses.get(host));
        let named = |text: &str| text.eq_ignore_ascii_case(&member.name);
        let by_name = || {
            let mut sites = snapshot.sites.values();
            sites.find(|site| named(site.name.as_str()) || site.hosts.iter().any(|host| named(host.as_str())))
        };
        Placed {
            name: member.name.clone(),
            site: by_address.cloned().or_else(|| by_name().map(|site| site.name.clone())),
            up: member.up,
            leads: cluster.leader.as_ref() == Some(&member.name),
            version: member.told.as_ref().map(|told| told.version.clone()),
            applied: member.told.as_ref().map(|told| told.applied),
            database_bytes: member.told.as_ref().map(|told| told.database),
            timers: member.timers,
        }
    };
    cluster.members.iter().map(place).collect()
}

/// Hosts as they stand in URLs, by site. An address that two sites have is neither's.
fn addresses(snapshot: &Snapshot, own: &[IpAddr]) -> BTreeMap<String, SiteName> {
    let mut found: BTreeMap<String, BTreeSet<&SiteName>> = BTreeMap::new();
    let mut add = |host: String, site| {
        found.entry(host).or_default().insert(site);
    };
    for site in snapshot.sites.values() {
        site.peers.iter().for_each(|peer| add(host_in(peer).to_owned(), &site.name));
        if site.own {
            own.iter().filter(|ip| !ip.is_loopback()).for_each(|ip| add(ip.to_string(), &site.name));
        }
    }
    for service in &snapshot.services {
        for (site, endpoints) in &service.endpoints {
            let all = endpoints.iter().flat_map(|endpoint| &endpoint.addresses).map(SocketAddr::ip);
            all.filter(|ip| !ip.is_loopback()).for_each(|ip| add(ip.to_string(), site));
        }
    }
    let one = |(host, sites): (String, BTreeSet<&SiteName>)| match sites.len() {
        1 => sites.first().map(|site| (host, (*site).clone())),
        _ => None,
    };
    found.into_iter().filter_map(one).collect()
}

/// The host of a URL, an IPv6 address without its brackets.
pub fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    Some(host_in(rest.split('/').next().unwrap_or(rest)))
}

/// `host:port` without its port, an IPv6 address without its brackets.
fn host_in(authority: &str) -> &str {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests;
