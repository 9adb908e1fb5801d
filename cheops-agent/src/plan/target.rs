//! Which endpoint a request addresses: several services may share an address, told apart by path prefixes
//! (AMENDMENTS 23).

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode_str;

use crate::address::OrigDst;
use crate::metadata::Snapshot;
use crate::metadata::snapshot::Addressed;

/// Why no endpoint is found for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("no service has an endpoint at this address")]
    NoService,
    #[error("no service at this address has a prefix that the path begins with")]
    NoPrefix,
    /// It would lead elsewhere once it is decoded, its empty segments dropped and its `..` followed.
    #[error("the path could be read as another service's")]
    Ambiguous,
    /// CONNECT's (RFC 9112, 3.2.3).
    #[error("the target names no path")]
    NoPath,
}

/// The range of a target's path: `/a` in `/a?b` and in `http://host/a?b`. None for `host:port`; `*` is empty at its end.
pub fn path_range(target: &str) -> Option<Range<usize>> {
    let start = match target.split_once("://") {
        _ if target.starts_with('/') => 0,
        _ if target == "*" => return Some(1..1),
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            let authority = rest.find(['/', '?']).unwrap_or(rest.len());
            scheme.len() + 3 + authority
        }
        _ => return None,
    };
    let length = target.get(start..)?.find('?').unwrap_or(target.len() - start);
    Some(start..start + length)
}

/// The path behind an endpoint's prefix.
pub fn behind<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/') || prefix.is_empty())
}

/// Whether a path lies behind an endpoint's prefix in every reading of it: what a peer sends must not climb out.
pub fn fits(path: &str, prefix: &str) -> bool {
    behind(path, prefix).is_some() && behind(&normal(path), prefix).is_some()
}

/// The endpoint at `orig` that a target addresses: the one with the longest prefix.
pub fn addressed<'a>(known: &'a Snapshot, orig: OrigDst, target: &str) -> Result<Addressed<'a>, TargetError> {
    let range = path_range(target).ok_or(TargetError::NoPath)?;
    let path = target.get(range).unwrap_or_default();
    let mut at_address = false;
    let mut prefixed = false;
    for endpoint in known.at(orig.get()) {
        at_address = true;
        prefixed |= !endpoint.endpoint.prefix.is_empty();
    }
    if !at_address {
        return Err(TargetError::NoService);
    }
    let found = longest(known, orig, path);
    if prefixed {
        let plain = normal(path);
        let again = longest(known, orig, &plain);
        let prefix = |found: &Option<Addressed<'a>>| found.as_ref().map(|found| found.endpoint.prefix.as_str());
        if prefix(&found) != prefix(&again) {
            return Err(TargetError::Ambiguous);
        }
    }
    found.ok_or(TargetError::NoPrefix)
}

fn longest<'a>(known: &'a Snapshot, orig: OrigDst, path: &str) -> Option<Addressed<'a>> {
    let fitting = known.at(orig.get()).filter(|found| behind(path, &found.endpoint.prefix).is_some());
    fitting.max_by_key(|found| found.endpoint.prefix.len())
}

/// The path as a lenient server may read it: decoded, without empty segments, `.` and `..` followed. Only for comparing.
fn normal(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("//") && !path.contains("/.") && !path.contains('\\') {
        return Cow::Borrowed(path);
    }
    // Twice, because a proxy in front of the service may decode once more.
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let decoded = percent_decode_str(&decoded).decode_utf8_lossy().replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    Cow::Owned(format!("/{}", segments.join("/")))
}
