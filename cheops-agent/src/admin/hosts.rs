//! The hosts of a site, and how long their certificates are good: as they are recorded, else as their agents show.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::Agent;
use crate::metadata::record::{CertificateFacts, Millis, Record, now};
use crate::metadata::{Key, Site, revoke};
use crate::names::{HostName, SiteName};

/// Of a certificate whose life isn't known, the last part in which it is worth a warning; of others at most that.
const SOON: Millis = 14 * 24 * 3600 * 1000;
/// The last part of a certificate's life that is worth a warning: agents have renewed it by then.
const PART: Millis = 8;

/// A host as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostLine {
    pub name: HostName,
    pub version: Option<String>,
    pub certificate: Option<Certificate>,
}

/// How long a certificate is good.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Certificate {
    pub serial: String,
    /// Milliseconds since 1970.
    pub expires: Millis,
    /// Until then; 0 when it has expired.
    pub seconds_left: u64,
    /// Whether that is worth a warning.
    pub soon: bool,
}

impl Certificate {
    fn of(facts: &CertificateFacts, now: Millis) -> Self {
        let left = facts.expires.saturating_sub(now);
        let life = revoke::issued(&facts.serial).map(|issued| facts.expires.saturating_sub(issued));
        let soon = left <= life.map_or(SOON, |life| (life / PART).min(SOON));
        Self { serial: facts.serial.clone(), expires: facts.expires, seconds_left: left / 1000, soon }
    }

    /// In words.
    pub fn told(&self) -> String {
        match Duration::from_secs(self.seconds_left).as_secs() {
            0 => "has expired".to_owned(),
            seconds if seconds < 7200 => format!("expires in {} minutes", seconds / 60),
            seconds if seconds < 172_800 => format!("expires in {} hours", seconds / 3600),
            seconds => format!("expires in {} days", seconds / 86_400),
        }
    }
}

/// The site's hosts, in the order of their names.
pub fn of(agent: &Agent, site: &Site) -> Vec<HostLine> {
    let mut hosts: BTreeMap<HostName, (Option<String>, Option<CertificateFacts>)> =
        site.hosts.iter().map(|host| (host.clone(), (None, None))).collect();
    if let Some(peers) = &agent.peers {
        for (_, _, status) in peers.liveness.peers().into_iter().filter(|(of, _, _)| *of == site.name) {
            if let Some(host) = status.host {
                hosts.insert(host, (status.version, status.certificate));
            }
        }
        if site.own {
            let own = (Some(env!("CARGO_PKG_VERSION").to_owned()), peers.client.certificate());
            hosts.insert(agent.config().host.clone(), own);
        }
    }
    for (key, record) in agent.metadata.view().iter() {
        if let (Key::Host(of, host), Record::Host(record)) = (key, record)
            && *of == site.name
        {
            let known = hosts.entry(host.clone()).or_default();
            known.0.get_or_insert_with(|| record.agent.clone());
            if let Some(certificate) = &record.certificate {
                known.1 = Some(certificate.clone());
            }
        }
    }
    let now = now();
    let line = |(name, (version, facts)): (HostName, (Option<String>, Option<CertificateFacts>))| HostLine {
        name,
        version,
        certificate: facts.map(|facts| Certificate::of(&facts, now)),
    };
    hosts.into_iter().map(line).collect()
}

/// What is to be said aloud of certificates that end soon: whose, and what.
pub fn warnings(agent: &Agent) -> Vec<(SiteName, HostName, String)> {
    let snapshot = agent.snapshot();
    let all =
        snapshot.sites.values().flat_map(|site| of(agent, site).into_iter().map(|host| (site.name.clone(), host)));
    all.filter_map(|(site, host)| {
        let certificate = host.certificate.filter(|certificate| certificate.soon)?;
        Some((site, host.name, certificate.told()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Millis = 24 * 3600 * 1000;

    fn facts(serial: String, expires: Millis) -> CertificateFacts {
        CertificateFacts { serial, expires, authority: String::new() }
    }

    #[test]
    fn the_end_of_a_certificate_is_told_in_time() {
        let now = 1_800_000_000_000;
        let made = |issued| revoke::serial(issued).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for (issued, expires, soon, told) in [
            (None, now + 15 * DAY, false, "expires in 15 days"),
            (None, now + 13 * DAY, true, "expires in 13 days"),
            // A short life is no reason to worry, its end is.
            (Some(now), now + DAY, false, "expires in 24 hours"),
            (Some(now - DAY * 8 / 9), now + DAY / 9, true, "expires in 2 hours"),
            (Some(now - 360 * DAY), now + 15 * DAY, false, "expires in 15 days"),
            (Some(now - 360 * DAY), now + 10 * DAY, true, "expires in 10 days"),
            (None, now - 1, true, "has expired"),
        ] {
            let serial = issued.map_or_else(|| "0f".to_owned(), made);
            let certificate = Certificate::of(&facts(serial, expires), now);
            assert_eq!((certificate.soon, certificate.told().as_str()), (soon, told), "{certificate:?}");
        }
    }
}
