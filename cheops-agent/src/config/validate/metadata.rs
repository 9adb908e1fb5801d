//! Rules about where metadata is kept.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;

use super::super::diagnostic::{Findings, Place};
use super::super::raw::{Located, Raw, RawMetadata};
use super::super::values;

/// The backend that is a cluster of all sites.
pub const ETCD: &str = "etcd";

/// More are no cluster: etcd advises against more than seven members.
const MOST: usize = 32;

/// The keys that only etcd has a use for, as far as they are written.
fn written(metadata: &RawMetadata) -> impl Iterator<Item = (&'static str, Option<&Place>)> {
    let endpoints = metadata.endpoints.as_ref().map(|endpoints| ("endpoints", endpoints.place.as_ref()));
    let others = [
        ("ca", &metadata.ca),
        ("cert", &metadata.cert),
        ("key", &metadata.key),
        ("user", &metadata.user),
        ("password-file", &metadata.password_file),
    ];
    let others = others.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?.place.as_ref())));
    endpoints.into_iter().chain(others)
}

pub fn backend(raw: &Raw, findings: &mut Findings) {
    let metadata = &raw.metadata;
    if metadata.backend.value == ETCD {
        let none = metadata.endpoints.as_ref().is_none_or(|endpoints| endpoints.value.is_empty());
        if none {
            let place = metadata.endpoints.as_ref().and_then(|endpoints| endpoints.place.as_ref());
            findings.error(
                place.or(metadata.backend.place.as_ref()),
                "backend = \"etcd\" needs \"endpoints\": write the members' URLs, such as \
                 endpoints = [\"https://10.77.0.1:2379\"]",
            );
        }
        if raw.peer.is_none() {
            findings.error(
                metadata.backend.place.as_ref(),
                "backend = \"etcd\" needs [peer]: what this host tells others is signed with its certificate",
            );
        }
        return;
    }
    for (name, place) in written(metadata) {
        findings.warn(place, format!("\"{name}\" means nothing without backend = \"etcd\""));
    }
}

/// Every URL, with whether it is `https` where it can be read.
fn endpoints(raw: &Raw) -> impl Iterator<Item = (&Located<String>, Result<bool, String>)> {
    raw.metadata.endpoints.iter().flat_map(|endpoints| &endpoints.value).map(|url| (url, endpoint(&url.value)))
}

fn endpoint(written: &str) -> Result<bool, String> {
    let url = values::endpoint(written)?;
    if url.prefix.is_empty() {
        Ok(url.https)
    } else {
        Err(format!("an etcd member's URL has no path: write {}", written.trim_end_matches(&url.prefix)))
    }
}

pub fn urls(raw: &Raw, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    let mut first = None;
    for (url, read) in endpoints(raw) {
        let https = match read {
            Ok(https) => https,
            Err(why) => {
                findings.error(url.place.as_ref(), why);
                continue;
            }
        };
        if !seen.insert(url.value.trim_end_matches('/').to_lowercase()) {
            findings.error(url.place.as_ref(), format!("\"{}\" stands here twice", url.value));
        }
        if *first.get_or_insert(https) != https {
            findings.error(
                url.place.as_ref(),
                "endpoints are all http or all https: what one member hears in plain text, TLS at another doesn't hide",
            );
        }
    }
    if seen.len() > MOST {
        let place = raw.metadata.endpoints.as_ref().and_then(|endpoints| endpoints.place.as_ref());
        findings.error(place, format!("more than {MOST} endpoints: name the members, 3, 5 or 7"));
    }
}

/// Whether endpoints are `https`; none where there are none.
fn encrypted(raw: &Raw) -> Option<bool> {
    endpoints(raw).find_map(|(_, read)| read.ok())
}

pub fn certificates(raw: &Raw, findings: &mut Findings) {
    let metadata = &raw.metadata;
    let Some(encrypted) = encrypted(raw).filter(|_| metadata.backend.value == ETCD) else { return };
    match (encrypted, &metadata.ca) {
        (true, None) => findings.error(
            metadata.endpoints.as_ref().and_then(|endpoints| endpoints.place.as_ref()),
            "https endpoints need \"ca\": the authority of the members' certificates",
        ),
        (false, Some(ca)) => {
            findings.error(ca.place.as_ref(), "\"ca\" means nothing for http endpoints: write https, or take it away");
        }
        _ => {}
    }
    match (&metadata.cert, &metadata.key) {
        (Some(cert), None) => findings.error(cert.place.as_ref(), "\"cert\" needs \"key\": its private key"),
        (None, Some(key)) => {
            findings.error(key.place.as_ref(), "\"key\" needs \"cert\": the certificate that it is of")
        }
        (Some(cert), Some(_)) if !encrypted => {
            findings
                .error(cert.place.as_ref(), "\"cert\" means nothing for http endpoints: write https, or take it away");
        }
        _ => {}
    }
}

pub fn password(raw: &Raw, findings: &mut Findings) {
    let metadata = &raw.metadata;
    match (&metadata.user, &metadata.password_file) {
        (Some(user), None) => {
            findings.error(user.place.as_ref(), "\"user\" needs \"password-file\": the file with its password");
        }
        (None, Some(file)) => findings.error(file.place.as_ref(), "\"password-file\" needs \"user\""),
        (Some(user), Some(file)) => {
            if user.value.is_empty() {
                findings.error(user.place.as_ref(), "\"user\" is empty");
            }
            readable(file, findings);
            if encrypted(raw) == Some(false) {
                findings.warn(user.place.as_ref(), "the password goes over the network in plain text: write https");
            }
        }
        (None, None) => {}
    }
}

/// A secret that others can read is none.
fn readable(file: &Located<String>, findings: &mut Findings) {
    // A file that isn't there is said when it is needed: it may come later.
    let Ok(facts) = std::fs::metadata(&file.value) else { return };
    if facts.mode() & 0o007 != 0 {
        findings.error(
            file.place.as_ref(),
            format!("everybody on this host can read or change {0}: chmod 600 {0}", file.value),
        );
    }
}
