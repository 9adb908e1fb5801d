//! Endpoints that other sites and hosts announced in their records.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::key::Key;
use super::record::{Record, ServiceRecord};
use super::store::View;
use crate::config::{Config, endpoint_url};
use crate::names::SiteName;

/// Endpoints that one site may announce of one service.
const MOST: usize = 64;

/// Hosts of learned endpoints that are names: what `names` has to ask for.
pub fn names_in(config: &Config, view: &View) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (key, record) in view.iter() {
        let (Key::Service(site, _), Record::Service(record)) = (key, record) else { continue };
        for written in urls(config, site, record) {
            names.extend(endpoint_url(written).ok().map(|url| url.host).filter(|host| host.parse::<IpAddr>().is_err()));
        }
    }
    names
}

/// The endpoints of a record that this agent doesn't have from its own file.
pub(super) fn urls<'a>(config: &Config, site: &SiteName, record: &'a ServiceRecord) -> Vec<&'a String> {
    let others = record.hosts.iter().filter(|(host, _)| *site != config.site || **host != config.host);
    let all: Vec<&String> = match record.hosts.is_empty() {
        true => record.endpoints.iter().collect(),
        false => others.flat_map(|(_, urls)| urls).collect(),
    };
    let mut seen = BTreeSet::new();
    all.into_iter().filter(|url| seen.insert(*url)).take(MOST).collect()
}
