//! One consistent view of sites and services. Replaced whole when something changes; never waited for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::record::Standing;
use crate::config::{HostHeader, WhenAgentDown};
use crate::names::{HostName, ServiceName, SiteName};

/// Everything that a request's decision needs to know about the world.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub sites: BTreeMap<SiteName, Site>,
    pub services: Vec<Arc<Service>>,
}

/// A site and how its agents are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub name: SiteName,
    /// Whether this agent belongs to it.
    pub own: bool,
    /// Its agents, `host:port`, in the order in which they are tried.
    pub peers: Vec<String>,
    /// Its hosts as far as they are known.
    pub hosts: Vec<HostName>,
    /// Whether it may be chosen, as it says itself.
    pub standing: Standing,
}

/// A named API and where it is, per site.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub name: ServiceName,
    pub kind: Option<String>,
    pub profile: String,
    pub when_agent_down: WhenAgentDown,
    pub host: HostHeader,
    pub export: bool,
    pub parameter: bool,
    pub endpoints: BTreeMap<SiteName, Vec<Endpoint>>,
}

/// The number that the kernel programs give an endpoint; stable until the next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u32);

/// One address of a service at one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub https: bool,
    /// As written in the configuration, for `Host` and for people: `host:port`.
    pub authority: String,
    /// Every address that the authority stands for.
    pub addresses: Vec<SocketAddr>,
    /// Empty, or `/…` without a slash at its end.
    pub prefix: String,
}

/// An endpoint that a connection was opened to.
#[derive(Clone, Debug)]
pub struct Addressed<'a> {
    pub service: &'a Arc<Service>,
    pub site: &'a SiteName,
    pub endpoint: &'a Endpoint,
}

impl Snapshot {
    /// This agent's own site, if it is known.
    pub fn own_site(&self) -> Option<&Site> {
        self.sites.values().find(|site| site.own)
    }

    /// A service by its exact name.
    pub fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.iter().find(|service| service.name.as_str() == name)
    }

    /// All endpoints at `address`, whatever their prefix.
    pub fn at(&self, address: SocketAddr) -> impl Iterator<Item = Addressed<'_>> {
        self.services.iter().flat_map(move |service| {
            service.endpoints.iter().flat_map(move |(site, endpoints)| {
                endpoints
                    .iter()
                    .filter(move |endpoint| endpoint.addresses.contains(&address))
                    .map(move |endpoint| Addressed { service, site, endpoint })
            })
        })
    }
}
