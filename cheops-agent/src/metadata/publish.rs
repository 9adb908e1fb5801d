//! What this agent tells others of itself and its site: the records that it should have, and what is to be written so that
//! it has them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::key::Key;
use super::learned;
use super::record::{HostRecord, Liveness, Millis, Record, ServiceRecord, SiteRecord, Standing};
use super::store::View;
use super::transaction::Write;
use crate::config::{Config, EndpointUrl, HostHeader, ServiceSeed, WhenAgentDown};
use crate::names::{HostName, ServiceName};

/// What is to be told besides the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// This agent's own record.
    pub host: HostRecord,
    /// When it started.
    pub started: Millis,
    pub now: Millis,
    /// How the site stood when that was last known: whoever signed its record may not be believed any more.
    pub standing: Option<SiteRecord>,
}

impl Facts {
    /// Whether this host's certificate is of the authority that signs now.
    fn is_of_first(&self) -> bool {
        self.host.certificate.as_ref().is_some_and(|own| self.host.trusts.first() == Some(&own.authority))
    }
}

/// How soon a record is written again that came to nothing, and how often is looked whether there is one.
pub const AGAIN: Duration = Duration::from_secs(10);

/// What was told last, and when: what comes to nothing is not told again as fast as it does.
#[derive(Debug, Default)]
pub struct Told(BTreeMap<Key, (Write, Instant)>);

impl Told {
    /// Of the writes that are due, those that are to be told now.
    pub fn fresh(&mut self, due: Vec<Write>, view: &View, now: Instant) -> Vec<Write> {
        // One that is kept came to something: if it is due again, somebody changed it meanwhile.
        let kept = |write: &Write| match write {
            Write::Put(key, record) => {
                view.get(key).is_some_and(|kept| kept.revision.is_some() && kept.record == *record)
            }
            Write::Remove(_) => false,
        };
        self.0.retain(|_, (write, at)| now.saturating_duration_since(*at) < AGAIN && !kept(write));
        let told = |write: &Write| self.0.get(write.key()).is_some_and(|(last, _)| last == write);
        due.into_iter().filter(|write| !told(write)).collect()
    }

    /// This one was told.
    pub fn insert(&mut self, write: Write, now: Instant) {
        self.0.insert(write.key().clone(), (write, now));
    }
}

/// The writes after which `view` has what this agent should have. None if it has.
pub fn due(config: &Config, facts: &Facts, view: &View) -> Vec<Write> {
    let mut wanted = Vec::new();
    let (site, host) = (&config.site, &config.host);
    wanted.push((Key::Host(site.clone(), host.clone()), Some(Record::Host(facts.host.clone()))));
    let liveness = Record::Liveness(Liveness { started: facts.started });
    wanted.push((Key::Liveness(site.clone(), host.clone()), Some(liveness)));
    wanted.extend(services(config, view).into_iter().map(|(key, record)| (key, record.map(Record::Service))));
    // Absent is not empty: a site that stands otherwise may just not be known.
    let standing = Key::Site(site.clone());
    match view.get(&standing) {
        Some(kept) => wanted.push((standing, Some(kept.record.clone()))),
        None if view.complete => {
            let active = || SiteRecord { standing: Standing::Active, since: facts.now };
            let record = facts.standing.clone().unwrap_or_else(active);
            wanted.push((standing, Some(Record::Site(record))));
        }
        None => {}
    }
    // It is told when it changes, but has to be signed anew at once.
    let latencies = Key::Latencies(site.clone());
    if let Some(kept) = view.get(&latencies).filter(|kept| kept.worn) {
        wanted.push((latencies, Some(kept.record.clone())));
    }
    // What a cluster lost is written again, and what is signed under an authority that goes, once this host can do better.
    let better = facts.is_of_first();
    let holds = |key: &Key, record: &Option<Record>| match (view.get(key), record) {
        (Some(kept), Some(record)) => kept.record == *record && !kept.stale && !(kept.worn && better),
        (kept, record) => kept.is_none() && record.is_none(),
    };
    wanted.retain(|(key, record)| !holds(key, record));
    let write = |(key, record)| match record {
        Some(record) => Write::Put(key, record),
        None => Write::Remove(key),
    };
    wanted.into_iter().map(write).collect()
}

/// What each record of the site's services should be, of those that this host has to do with; `None` where nothing is left.
fn services(config: &Config, view: &View) -> Vec<(Key, Option<ServiceRecord>)> {
    let mut all = Vec::new();
    let others = other_hosts(config, view);
    let mut own: BTreeMap<ServiceName, ServiceRecord> =
        config.services.iter().filter_map(|seed| Some((seed.name.clone(), service(config, seed)?))).collect();
    for (key, record) in view.iter() {
        let (Key::Service(site, name), Record::Service(known)) = (key, record) else { continue };
        if *site == config.site {
            let wanted = together(config, own.remove(name), known, others.as_ref());
            all.push((key.clone(), wanted));
        }
    }
    all.extend(own.into_iter().map(|(name, record)| (Key::Service(config.site.clone(), name), Some(record))));
    all
}

/// The site's other hosts; `None` while they may just not be known.
fn other_hosts(config: &Config, view: &View) -> Option<BTreeSet<HostName>> {
    let host = |(key, _): (&Key, &Record)| match key {
        Key::Host(site, host) if *site == config.site && *host != config.host => Some(host.clone()),
        _ => None,
    };
    view.complete.then(|| view.iter().filter_map(host).collect())
}

/// The record with this host's part as its file has it, and the parts of the site's other hosts as they are. The first of
/// the hosts says what the service is.
fn together(
    config: &Config,
    own: Option<ServiceRecord>,
    known: &ServiceRecord,
    others: Option<&BTreeSet<HostName>>,
) -> Option<ServiceRecord> {
    let lives = |host: &HostName| *host != config.host && others.is_none_or(|others| others.contains(host));
    let mut hosts: BTreeMap<HostName, Vec<String>> =
        known.hosts.iter().filter(|(host, _)| lives(host)).map(|(host, urls)| (host.clone(), urls.clone())).collect();
    if hosts.is_empty() && own.is_none() {
        return None;
    }
    let first = hosts.keys().next().is_none_or(|first| config.host < *first);
    let own_urls = own.as_ref().map(|own| own.hosts.clone()).unwrap_or_default();
    let mut record = own.filter(|_| first).unwrap_or_else(|| known.clone());
    hosts.extend(own_urls);
    record.endpoints = endpoints(&hosts);
    record.hosts = hosts;
    Some(record)
}

/// The endpoints of all hosts, each once.
fn endpoints(hosts: &BTreeMap<HostName, Vec<String>>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    hosts.values().flatten().filter(|url| seen.insert(*url)).cloned().collect()
}

/// A service as this host's file has it at the own site; nothing if no other host could reach it.
fn service(config: &Config, seed: &ServiceSeed) -> Option<ServiceRecord> {
    let written = seed.endpoints.get(&config.site)?;
    let urls: Vec<String> = written.iter().filter(|url| reachable(url)).map(EndpointUrl::url).collect();
    if urls.is_empty() {
        return None;
    }
    Some(ServiceRecord {
        kind: seed.kind.clone(),
        profile: seed.profile.clone(),
        endpoints: urls.clone(),
        hosts: [(config.host.clone(), urls)].into(),
        when_agent_down: match seed.when_agent_down {
            WhenAgentDown::Pass => "pass",
            WhenAgentDown::Refuse => "refuse",
        }
        .to_owned(),
        host: match seed.host {
            HostHeader::Client => "client",
            HostHeader::Own => "own",
        }
        .to_owned(),
        export: seed.export,
        parameter: seed.parameter,
    })
}

/// Whether the address means the same host elsewhere.
fn reachable(url: &EndpointUrl) -> bool {
    match url.host.parse::<IpAddr>() {
        Ok(ip) => learned::admit_within((ip, url.port).into()).is_ok(),
        Err(_) => url.host != "localhost",
    }
}

#[cfg(test)]
mod tests;
