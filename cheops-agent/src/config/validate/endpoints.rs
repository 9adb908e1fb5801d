//! Rules about where services are.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::super::diagnostic::{Findings, did_you_mean};
use super::super::model::EndpointUrl;
use super::super::raw::{Located, Raw};
use super::super::values;
use super::peers::is_loopback;

/// Every URL that could be read: service, site, the URL as written, and taken apart.
fn all(raw: &Raw) -> impl Iterator<Item = (&str, &str, &Located<String>, EndpointUrl)> {
    raw.services.iter().flat_map(|service| {
        service.endpoints.iter().flat_map(move |(site, endpoints)| {
            endpoints.urls.iter().filter_map(move |url| {
                Some((service.name.value.as_str(), site.as_str(), url, values::endpoint(&url.value).ok()?))
            })
        })
    })
}

fn own(raw: &Raw) -> Option<&str> {
    raw.site.as_ref().map(|site| site.value.as_str())
}

/// An endpoint's site is this one or one of `[[sites]]`.
pub fn sites(raw: &Raw, findings: &mut Findings) {
    let known: Vec<&str> = own(raw).into_iter().chain(raw.sites.iter().map(|site| site.name.value.as_str())).collect();
    for (site, endpoints) in raw.services.iter().flat_map(|service| &service.endpoints) {
        if !known.contains(&site.as_str()) {
            let near = did_you_mean(site, known.iter().copied());
            let near = if near.is_empty() { format!(": add [[sites]] name = \"{site}\"") } else { near };
            findings.error(Some(&endpoints.site), format!("unknown site \"{site}\"{near}"));
        }
    }
}

pub fn urls(raw: &Raw, findings: &mut Findings) {
    for endpoints in raw.services.iter().flat_map(|service| service.endpoints.values()) {
        if endpoints.urls.is_empty() {
            findings.error(Some(&endpoints.site), "the list of URLs is empty".to_owned());
        }
        for url in &endpoints.urls {
            if let Err(why) = values::endpoint(&url.value) {
                findings.error(url.place.as_ref(), why);
            }
        }
    }
}

/// Two services at one address need different prefixes.
pub fn told_apart(raw: &Raw, findings: &mut Findings) {
    let mut seen: BTreeMap<(String, u16, String), (&str, &str)> = BTreeMap::new();
    for (service, site, written, url) in all(raw) {
        let place = (url.host.to_lowercase(), url.port, url.prefix);
        let Some((other, there)) = seen.get(&place) else {
            seen.insert(place, (service, site));
            continue;
        };
        // A loopback alias means each site's own host.
        if is_loopback(&url.host) && *there != site {
            continue;
        }
        let message = if *other == service && *there == site {
            format!("{} stands here twice", written.value)
        } else if *other == service {
            format!(
                "{} is {there}'s endpoint of {service} too: a request to it would have two entry sites",
                written.value
            )
        } else {
            format!("{other} is at {} too: give one of them a path prefix, such as http://host/image", written.value)
        };
        findings.error(written.place.as_ref(), message);
    }
}

/// Services that are not here are rarely meant.
pub fn own_site(raw: &Raw, findings: &mut Findings) {
    let Some(own) = own(raw) else { return };
    for service in raw.services.iter().filter(|service| !service.endpoints.contains_key(own)) {
        findings.warn(
            service.name.place.as_ref(),
            format!(
                "{} has no endpoint at {own}, this host's site: calls that a scope doesn't bind have no place here",
                service.name.value
            ),
        );
    }
}

/// A loopback address of another site's host says nothing here.
pub fn loopback_elsewhere(raw: &Raw, findings: &mut Findings) {
    for (_, site, written, url) in all(raw) {
        if Some(site) != own(raw) && is_loopback(&url.host) {
            findings.warn(
                written.place.as_ref(),
                format!("{} means this host, not {site}'s: connections to it are not taken", written.value),
            );
        }
    }
}

/// The agent's own addresses, and the loopback addresses that it uses for itself (AMENDMENTS 3).
pub fn not_the_agent(raw: &Raw, findings: &mut Findings) {
    let peer = raw.peer.as_ref().and_then(|peer| peer.listen.as_ref());
    let agent: Vec<SocketAddr> = peer.into_iter().chain(raw.admin_listen.as_ref()).map(|listen| listen.value).collect();
    for (_, _, written, url) in all(raw) {
        let Ok(ip) = url.host.parse::<IpAddr>() else { continue };
        if agent.contains(&SocketAddr::new(ip, url.port)) {
            findings.error(written.place.as_ref(), "this is the agent's own address".to_owned());
        }
        if matches!(ip.to_canonical(), IpAddr::V4(ip) if u32::from(ip) >> 22 == 0x7f40_0000 >> 22) {
            findings.error(written.place.as_ref(), "the agent uses 127.64.0.0/10 for itself".to_owned());
        }
    }
}
