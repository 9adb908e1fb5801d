//! What other sites told, added to what the file says. The file wins: sites, services and endpoints that it has stay as
//! they stand there.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::announced::urls;
use super::build::{build, endpoint};
use super::key::Key;
use super::learned::{self, Refusal};
use super::names::Names;
use super::record::{HostRecord, Record, ServiceRecord, Standing};
use super::snapshot::{Endpoint, Service, Site, Snapshot};
use super::store::View;
use crate::config::{Config, HostHeader, PeerSecurity, WhenAgentDown, endpoint_url};
use crate::names::{HostName, ServiceName, SiteName, check};

/// What is known of sites and services, and what of it isn't believed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    pub snapshot: Snapshot,
    pub refused: Vec<RefusedEndpoint>,
}

/// Something that another site announced in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEndpoint {
    pub site: SiteName,
    pub service: Option<ServiceName>,
    /// The endpoint's URL, or the name that can't be one.
    pub what: String,
    pub why: Refusal,
}

/// The snapshot for `config` and for what `view` has of other sites and hosts. `names` knows the addresses of names,
/// `host` are the addresses of this host.
pub fn merge(config: &Config, names: &Names, view: &View, host: &[IpAddr]) -> Merged {
    let file = build(config, names);
    let mut merging = Merging { config, names, host, own: file.clone(), file: &file, refused: Vec::new() };
    let mut sites = file.sites.clone();
    let mut services = file.services.iter().map(|service| (**service).clone()).collect();
    // The own site's first: they say what others may not announce.
    for own in [true, false] {
        for (key, record) in view.iter() {
            let Some(site) = key.site().filter(|site| (**site == config.site) == own) else { continue };
            merging.site(&mut sites, site, key, record);
            if let (Key::Service(_, name), Record::Service(record)) = (key, record) {
                merging.service(&mut services, site, name, record);
            }
        }
        merging.own.services = services.iter().cloned().map(Arc::new).collect();
    }
    let services = services.into_iter().map(Arc::new).collect();
    Merged { snapshot: Snapshot { sites, services }, refused: merging.refused }
}

struct Merging<'a> {
    config: &'a Config,
    names: &'a Names,
    host: &'a [IpAddr],
    /// What the file says.
    file: &'a Snapshot,
    /// The same, and what the own site's other hosts told.
    own: Snapshot,
    refused: Vec<RefusedEndpoint>,
}

impl Merging<'_> {
    /// What a record says of the site itself.
    fn site(&mut self, sites: &mut BTreeMap<SiteName, Site>, name: &SiteName, key: &Key, record: &Record) {
        if !matches!(record, Record::Site(_) | Record::Host(_) | Record::Service(_)) {
            return;
        }
        if let Err(fault) = check(name.as_str()) {
            let refused =
                RefusedEndpoint { site: name.clone(), service: None, what: name.to_string(), why: fault.into() };
            if !self.refused.contains(&refused) {
                self.refused.push(refused);
            }
            return;
        }
        let site = sites.entry(name.clone()).or_insert_with(|| Site {
            name: name.clone(),
            own: false,
            peers: Vec::new(),
            hosts: Vec::new(),
            standing: Standing::default(),
        });
        match (key, record) {
            (Key::Site(_), Record::Site(record)) => site.standing = record.standing,
            (Key::Host(_, host), Record::Host(record)) => self.host(site, host, record),
            _ => {}
        }
    }

    fn host(&self, site: &mut Site, host: &HostName, record: &HostRecord) {
        if !site.hosts.contains(host) {
            site.hosts.push(host.clone());
        }
        let in_file = self.file.sites.get(&site.name).is_some_and(|site| !site.peers.is_empty());
        let this = site.own && *host == self.config.host;
        if in_file || this {
            return;
        }
        // Without certificates nobody beyond this host is talked to (AMENDMENTS 20).
        let insecure = self.config.peer.as_ref().is_some_and(|peer| peer.security == PeerSecurity::Insecure);
        let loopback = |peer: &str| peer.parse::<SocketAddr>().is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
        for peer in &record.peers {
            if !site.peers.contains(peer) && (!insecure || loopback(peer)) {
                site.peers.push(peer.clone());
            }
        }
    }

    fn service(&mut self, services: &mut Vec<Service>, site: &SiteName, name: &ServiceName, record: &ServiceRecord) {
        let in_file = self.file.service(name.as_str()).is_some_and(|service| service.endpoints.contains_key(site));
        if in_file || check(site.as_str()).is_err() {
            return;
        }
        if let Err(fault) = check(name.as_str()) {
            self.refuse(site, name, name.as_str(), fault.into());
            return;
        }
        let written = urls(self.config, site, record);
        let endpoints: Vec<Endpoint> =
            written.into_iter().filter_map(|written| self.endpoint(site, name, written)).collect();
        if endpoints.is_empty() {
            return;
        }
        match services.iter_mut().find(|service| service.name == *name) {
            Some(service) => drop(service.endpoints.insert(site.clone(), endpoints)),
            None => services.push(learned(name, record, site, endpoints)),
        }
    }

    /// The endpoint without the addresses that may not be announced; nothing if none is left of them.
    fn endpoint(&mut self, site: &SiteName, service: &ServiceName, written: &str) -> Option<Endpoint> {
        let url = match endpoint_url(written) {
            Ok(url) => url,
            Err(_) => {
                self.refuse(site, service, written, Refusal::NoUrl);
                return None;
            }
        };
        let mut endpoint = endpoint(&url, self.names);
        let before = std::mem::take(&mut endpoint.addresses);
        let unresolved = before.is_empty();
        for address in before {
            match self.admit(site, address) {
                Ok(()) => endpoint.addresses.push(address),
                Err(why) => self.refuse(site, service, written, why),
            }
        }
        (unresolved || !endpoint.addresses.is_empty()).then_some(endpoint)
    }

    fn admit(&self, site: &SiteName, address: SocketAddr) -> Result<(), Refusal> {
        if *site == self.config.site {
            return learned::admit_within(address);
        }
        learned::admit(address, &self.own, self.host)?;
        match self.file.at(address).all(|addressed| addressed.site == site) {
            true => Ok(()),
            false => Err(Refusal::AnotherSite),
        }
    }

    fn refuse(&mut self, site: &SiteName, service: &ServiceName, what: &str, why: Refusal) {
        let refused =
            RefusedEndpoint { site: site.clone(), service: Some(service.clone()), what: what.to_owned(), why };
        if !self.refused.contains(&refused) {
            self.refused.push(refused);
        }
    }
}

/// A service that the file doesn't have, as the first site tells it.
fn learned(name: &ServiceName, record: &ServiceRecord, site: &SiteName, endpoints: Vec<Endpoint>) -> Service {
    Service {
        name: name.clone(),
        kind: record.kind.clone(),
        profile: record.profile.clone(),
        when_agent_down: match record.when_agent_down.as_str() {
            "refuse" => WhenAgentDown::Refuse,
            _ => WhenAgentDown::Pass,
        },
        host: match record.host.as_str() {
            "own" => HostHeader::Own,
            _ => HostHeader::Client,
        },
        export: record.export,
        parameter: record.parameter,
        endpoints: [(site.clone(), endpoints)].into(),
    }
}

#[cfg(test)]
mod tests;
