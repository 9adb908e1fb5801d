//! A snapshot from the configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::names::Names;
use super::record::Standing;
use super::snapshot::{Endpoint, Service, Site, Snapshot};
use crate::config::{Config, EndpointUrl, ServiceSeed};

/// The snapshot of what `config` alone says, with the addresses that `names` knows now.
pub fn build(config: &Config, names: &Names) -> Snapshot {
    let mut sites = BTreeMap::new();
    let own = Site {
        name: config.site.clone(),
        own: true,
        peers: Vec::new(),
        hosts: vec![config.host.clone()],
        standing: Standing::default(),
    };
    sites.insert(config.site.clone(), own);
    for seed in &config.sites {
        let site = sites.entry(seed.name.clone()).or_insert_with(|| Site {
            name: seed.name.clone(),
            own: false,
            peers: Vec::new(),
            hosts: Vec::new(),
            standing: Standing::default(),
        });
        site.peers.clone_from(&seed.peers);
    }
    let services = config.services.iter().map(|seed| Arc::new(service(seed, names))).collect();
    Snapshot { sites, services }
}

fn service(seed: &ServiceSeed, names: &Names) -> Service {
    let endpoints =
        seed.endpoints.iter().map(|(site, urls)| (site.clone(), urls.iter().map(|url| endpoint(url, names)).collect()));
    Service {
        name: seed.name.clone(),
        kind: seed.kind.clone(),
        profile: seed.profile.clone(),
        when_agent_down: seed.when_agent_down,
        host: seed.host,
        export: seed.export,
        parameter: seed.parameter,
        endpoints: endpoints.collect(),
    }
}

pub(super) fn endpoint(url: &EndpointUrl, names: &Names) -> Endpoint {
    let addresses = names.addresses(&url.host).into_iter().map(|ip| SocketAddr::new(ip, url.port)).collect();
    Endpoint { https: url.https, authority: url.authority(), addresses, prefix: url.prefix.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_text;

    #[test]
    fn the_own_site_is_there_and_seeds_are_added() {
        let config = from_text(
            "site = \"B\"\nhost = \"b1\"\n[peer]\nlisten = \"127.0.0.1:1\"\ninsecure = true\n\
             [[sites]]\nname = \"P\"\npeer = [\"127.0.0.1:2\", \"127.0.0.1:3\"]\n\
             [[services]]\nname = \"S\"\nendpoints = { B = \"http://[::1]:80/s\", P = [\"https://10.0.0.2\", \"http://unknown.invalid:1\"] }",
        )
        .unwrap_or_else(|error| panic!("{error}"))
        .config;
        let snapshot = build(&config, &Names::default());
        assert_eq!(snapshot.own_site().map(|site| site.name.as_str()), Some("B"));
        assert_eq!(snapshot.sites["P"].peers, ["127.0.0.1:2", "127.0.0.1:3"]);
        let endpoints = &snapshot.services[0].endpoints;
        assert_eq!(endpoints["B"][0].authority, "[::1]:80");
        assert_eq!(endpoints["B"][0].prefix, "/s");
        assert_eq!(endpoints["P"][0].addresses, ["10.0.0.2:443".parse().expect("an address")]);
        assert!(endpoints["P"][1].addresses.is_empty());
    }
}
