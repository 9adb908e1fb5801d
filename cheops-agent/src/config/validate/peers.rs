//! Rules about agents that talk to each other, and about who may talk to the admin API.

use std::net::IpAddr;

use super::super::diagnostic::Findings;
use super::super::raw::Raw;
use super::super::values;

pub fn addresses(raw: &Raw, findings: &mut Findings) {
    for site in &raw.sites {
        if site.peers.is_empty() && site.name.place.is_some() {
            findings.warn(site.name.place.as_ref(), format!("site {} has no agent's address", site.name.value));
        }
        for peer in &site.peers {
            if values::host_port(&peer.value).is_none() {
                findings.error(
                    peer.place.as_ref(),
                    format!(
                        "\"{}\" is not host:port, such as \"10.77.0.2:7117\" or \"[2001:db8::1]:7117\"",
                        peer.value
                    ),
                );
            }
        }
    }
}

/// Mutual TLS, or loopback only (AMENDMENTS 20).
pub fn security(raw: &Raw, findings: &mut Findings) {
    let Some(peer) = &raw.peer else { return };
    if !peer.insecure.value {
        let files = [("ca", &peer.ca), ("cert", &peer.cert), ("key", &peer.key)];
        let missing: Vec<&str> = files.iter().filter(|(_, file)| file.is_none()).map(|(name, _)| *name).collect();
        // Without any of them the host joins by command.
        for name in missing.iter().filter(|_| missing.len() < files.len()) {
            findings.error(
                peer.place.as_ref(),
                format!(
                    "\"{name}\" is missing in [peer]: give all of ca, cert and key, or none for a host that joins with \
                     cheops site join"
                ),
            );
        }
        return;
    }
    if let Some(listen) = peer.listen.as_ref().filter(|listen| !listen.value.ip().is_loopback()) {
        findings.error(listen.place.as_ref(), "insecure = true needs a loopback address here".to_owned());
    }
    for peer in raw.sites.iter().flat_map(|site| &site.peers) {
        let host = values::host_port(&peer.value).map(|(host, _)| host);
        let loopback = host.as_deref().is_some_and(|host| host != "localhost" && is_loopback(host));
        if host.is_some() && !loopback {
            findings.error(
                peer.place.as_ref(),
                "insecure = true is for loopback peers only: give [peer] ca, cert and key instead".to_owned(),
            );
        }
    }
}

/// Whether a host as written is certainly this one.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

pub fn needed(raw: &Raw, findings: &mut Findings) {
    let other = raw.sites.iter().find(|site| Some(&site.name.value) != raw.site.as_ref().map(|site| &site.value));
    if let (None, Some(site)) = (&raw.peer, other) {
        findings
            .warn(site.name.place.as_ref(), format!("without [peer] no request can be served at {}", site.name.value));
    }
}

pub fn admin_listen(raw: &Raw, findings: &mut Findings) {
    if let Some(listen) = raw.admin_listen.as_ref().filter(|listen| !listen.value.ip().is_loopback()) {
        findings.error(listen.place.as_ref(), "\"listen\" in [admin] must be a loopback address".to_owned());
    }
}
