//! Certificates that are not to be believed any more, as records.

use super::key::Key;
use super::record::{Millis, Record, Revoked};
use super::store::View;
use super::truth::Write;
use crate::names::{HostName, SiteName};

/// Longest life of a certificate that a host of a federation signs, in milliseconds: 90 days.
pub const LONGEST_LIFE: Millis = 90 * 86_400_000;

/// What revokes every certificate that a host, or each host of a site, was given until `now`: also those of which nobody
/// knows here, since whoever has a host's key can have it renewed.
pub fn writes(view: &View, site: &SiteName, host: Option<&HostName>, now: Millis) -> Vec<Write> {
    let known = view.iter().filter_map(|(key, record)| match (key, record) {
        (Key::Host(of, name), Record::Host(record)) if of == site && host.is_none_or(|host| host == name) => {
            record.certificate.as_ref().map(|certificate| certificate.expires)
        }
        _ => None,
    });
    let expires = known.chain([now.saturating_add(LONGEST_LIFE)]).max();
    let revoked = Revoked { site: site.clone(), host: host.cloned(), since: now, expires };
    vec![Write::Put(Key::Revoked(name(site, host)), Record::Revoked(revoked))]
}

/// Under what a host, or a site, is revoked.
fn name(site: &SiteName, host: Option<&HostName>) -> String {
    host.map_or_else(|| site.to_string(), |host| format!("{site}/{host}"))
}
