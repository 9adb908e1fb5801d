//! What an agent tells another about a request, beside the request itself: header fields of the HTTP/2 stream.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::error::Refusal;
use super::outcome::Outcome;
use crate::http::Code;
use crate::names::{HostName, ServiceName, SiteName};
use crate::observe::request_id;
use crate::workflow::Told;

const SITE: HeaderName = HeaderName::from_static("cheops-site");
const SERVICE: HeaderName = HeaderName::from_static("cheops-service");
const ENDPOINT: HeaderName = HeaderName::from_static("cheops-endpoint");
const SCOPE: HeaderName = HeaderName::from_static("cheops-scope");
const ENTRY: HeaderName = HeaderName::from_static("cheops-entry");
const HOPS: HeaderName = HeaderName::from_static("cheops-hops");
const REQUEST: HeaderName = HeaderName::from_static("cheops-request");
const LINKS: HeaderName = HeaderName::from_static("cheops-links");
const PLACED: HeaderName = HeaderName::from_static("cheops-placed");
const DEADLINE: HeaderName = HeaderName::from_static("cheops-deadline-ms");
const CLIENT: HeaderName = HeaderName::from_static("cheops-client");
const CONNECTION: HeaderName = HeaderName::from_static("cheops-connection");
const DECIDED: HeaderName = HeaderName::from_static("cheops-decided");
const CALLER: HeaderName = HeaderName::from_static("cheops-caller");
const BRIEF: HeaderName = HeaderName::from_static("cheops-brief");
const HOME: HeaderName = HeaderName::from_static("cheops-home");
const OWN_SCOPE: HeaderName = HeaderName::from_static("cheops-own-scope");
const OUTCOME: HeaderName = HeaderName::from_static("cheops-outcome");
const CODE: HeaderName = HeaderName::from_static("cheops-code");
const DETAIL: HeaderName = HeaderName::from_static("cheops-detail");

/// A scope is at most 4 KiB; its completed form binds every service.
const SCOPE_BYTES: usize = 16 * 1024;
/// Sites and hosts that a request may pass.
pub const MAX_HOPS: usize = 8;
/// Ids, and places, that an envelope has.
pub const MAX_LINKS: usize = 16;
const LINK_BYTES: usize = 512;
const NAME_BYTES: usize = 256;
const REQUEST_BYTES: usize = 128;
const DETAIL_BYTES: usize = 1024;
const CALLER_BYTES: usize = 256;

/// Everything but RFC 3986's unreserved characters: names may hold any other.
pub(super) const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// An agent that a request has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    pub site: SiteName,
    pub host: HostName,
}

/// What an agent tells another about a request. The names of the fields on the wire are in this file only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The site that shall serve the request: the receiver's own, or the receiver refuses.
    pub site: SiteName,
    /// The service that shall get the request.
    pub service: ServiceName,
    /// The endpoint for which the request's head was made: `host:port` and path prefix, as the receiver's site has it.
    pub endpoint: String,
    /// The completed scope: JSON normal form with `default`.
    pub scope: Option<String>,
    /// Whether the request brought the scope with it; else the request that caused it did.
    pub own_scope: bool,
    /// The entry site.
    pub entry: SiteName,
    /// The agents that the request has passed, the sender last.
    pub hops: Vec<Hop>,
    /// `X-Cheops-Request`.
    pub request: String,
    /// Correlation ids by which calls below this request are linked to it: name and value.
    pub links: Vec<(String, String)>,
    /// Where the workflow's calls of services go, of which the scope leaves that open: service and site.
    pub placed: Vec<(String, String)>,
    /// What is left of the time until the answer must begin.
    pub deadline: Option<Duration>,
    /// The client, for the tap.
    pub client: Option<SocketAddr>,
    /// Which of the sender's client connections it came on: the requests of one share a connection to the service.
    pub connection: Option<u64>,
    /// Where the request's credential was issued.
    pub home: Option<Told>,
    /// The decision is taken: the receiver dials the service and asks no further.
    pub decided: bool,
    /// The request whose scope it is only reads: its ids need not be known for long.
    pub brief: bool,
    /// Whose the workflow is: a mark of the credential. None: it isn't known.
    pub caller: Option<String>,
}

/// Why an envelope is refused. Nothing of its request was used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("{0} is missing")]
    Missing(HeaderName),
    #[error("{0} stands more than once")]
    Twice(HeaderName),
    #[error("{0} is too long, or has too many parts")]
    TooLong(HeaderName),
    #[error("{0} is malformed")]
    Malformed(HeaderName),
}

impl Envelope {
    /// Of what the agent `asks` wants to know itself: it belongs to no client and to no workflow.
    pub fn of_agent(site: SiteName, service: ServiceName, endpoint: String, asks: Hop, within: Duration) -> Self {
        Self {
            site,
            service,
            endpoint,
            scope: None,
            own_scope: false,
            entry: asks.site.clone(),
            hops: vec![asks],
            request: request_id(),
            links: Vec::new(),
            placed: Vec::new(),
            deadline: Some(within),
            client: None,
            connection: None,
            home: None,
            decided: false,
            brief: false,
            caller: None,
        }
    }

    /// The envelope as header fields. A value that can't be one is an error, never sent altered.
    pub fn to_headers(&self) -> Result<HeaderMap, EnvelopeError> {
        let mut headers = HeaderMap::with_capacity(12);
        put(&mut headers, SITE, encode(self.site.as_str()))?;
        put(&mut headers, SERVICE, encode(self.service.as_str()))?;
        put(&mut headers, ENDPOINT, encode(&self.endpoint))?;
        put(&mut headers, ENTRY, encode(self.entry.as_str()))?;
        put(&mut headers, HOPS, write_hops(&self.hops))?;
        put(&mut headers, REQUEST, self.request.clone())?;
        if let Some(scope) = &self.scope {
            put(&mut headers, SCOPE, scope.clone())?;
        }
        if !self.links.is_empty() {
            put(&mut headers, LINKS, write_pairs(&self.links))?;
        }
        if !self.placed.is_empty() {
            put(&mut headers, PLACED, write_pairs(&self.placed))?;
        }
        if let Some(caller) = &self.caller {
            put(&mut headers, CALLER, caller.clone())?;
        }
        if let Some(deadline) = self.deadline {
            put(&mut headers, DEADLINE, deadline.as_millis().to_string())?;
        }
        if let Some(client) = self.client {
            put(&mut headers, CLIENT, client.to_string())?;
        }
        if let Some(connection) = self.connection {
            put(&mut headers, CONNECTION, connection.to_string())?;
        }
        if let Some(home) = &self.home {
            put(&mut headers, HOME, write_home(home))?;
        }
        let flags = [(OWN_SCOPE, self.own_scope), (DECIDED, self.decided), (BRIEF, self.brief)];
        for (name, _) in flags.into_iter().filter(|(_, is)| *is) {
            put(&mut headers, name, "1".to_owned())?;
        }
        Ok(headers)
    }

    /// The envelope of `headers`; fields that this version doesn't know are left alone.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, EnvelopeError> {
        let request = required(headers, REQUEST, REQUEST_BYTES)?;
        if request.is_empty() || !request.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(EnvelopeError::Malformed(REQUEST));
        }
        Ok(Self {
            site: required_name(headers, SITE)?.into(),
            service: required_name(headers, SERVICE)?.into(),
            endpoint: required_name(headers, ENDPOINT)?,
            scope: optional(headers, SCOPE, SCOPE_BYTES)?.map(str::to_owned),
            entry: required_name(headers, ENTRY)?.into(),
            hops: read_hops(required(headers, HOPS, MAX_HOPS * 2 * (3 * NAME_BYTES + 1))?)?,
            request: request.to_owned(),
            links: read_pairs(headers, LINKS)?,
            placed: read_pairs(headers, PLACED)?,
            deadline: parsed(headers, DEADLINE)?.map(Duration::from_millis),
            client: parsed(headers, CLIENT)?,
            connection: parsed(headers, CONNECTION)?,
            home: read_home(headers)?,
            own_scope: flag(headers, OWN_SCOPE)?,
            decided: flag(headers, DECIDED)?,
            brief: flag(headers, BRIEF)?,
            caller: optional(headers, CALLER, CALLER_BYTES)?.map(str::to_owned),
        })
    }

    /// Whether the request has passed `site`'s `host` already.
    pub fn has_passed(&self, site: &SiteName, host: &HostName) -> bool {
        self.hops.iter().any(|hop| hop.site == *site && hop.host == *host)
    }
}

/// The trailer that says how an exchange ended well.
pub(super) fn outcome_trailers(outcome: Outcome) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(OUTCOME, HeaderValue::from_static(outcome.as_str()));
    trailers
}

/// The trailers that say that there is no answer of the service, and why.
pub(super) fn refusal_trailers(refusal: &Refusal) -> HeaderMap {
    let mut trailers = outcome_trailers(refusal.outcome);
    trailers.insert(CODE, HeaderValue::from_static(refusal.code.as_str()));
    let detail: String = refusal.detail.chars().take(DETAIL_BYTES / 4).collect();
    if let Ok(detail) = HeaderValue::from_str(&encode(&detail)) {
        trailers.insert(DETAIL, detail);
    }
    trailers
}

/// What trailers say: `Ok` for an answered exchange, the refusal otherwise; `None` if they say neither.
pub fn read_trailers(trailers: &HeaderMap) -> Option<Result<(), Refusal>> {
    let outcome = Outcome::parse(optional_bytes(trailers, &OUTCOME)?)?;
    if outcome == Outcome::Answered {
        return Some(Ok(()));
    }
    let named = optional_bytes(trailers, &CODE)
        .and_then(|text| Code::ALL.iter().copied().find(|code| code.as_str().as_bytes() == text));
    let code = named.unwrap_or(match outcome {
        Outcome::NotSent => Code::PeerUnreachable,
        _ => Code::OutcomeUnknown,
    });
    let detail = optional(trailers, DETAIL, 3 * DETAIL_BYTES)
        .ok()
        .flatten()
        .and_then(|text| decode(text, DETAIL, 3 * DETAIL_BYTES).ok());
    let detail = detail.unwrap_or_else(|| code.title().to_owned());
    Some(Err(Refusal { outcome, code, detail }))
}

/// What differs from request to request. HTTP/2 would remember each (RFC 7541, 2.3.2), and forget for it what is the same
/// in all of them.
const OWN: [HeaderName; 6] = [REQUEST, LINKS, CLIENT, CONNECTION, CALLER, HOME];

fn put(headers: &mut HeaderMap, name: HeaderName, value: String) -> Result<(), EnvelopeError> {
    let value = HeaderValue::from_maybe_shared(Bytes::from(value));
    let mut value = value.map_err(|_| EnvelopeError::Malformed(name.clone()))?;
    value.set_sensitive(OWN.contains(&name));
    headers.insert(name, value);
    Ok(())
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NAME).to_string()
}

/// What was encoded; its limit holds for what it is encoded to here, so that whatever is accepted can be sent on.
fn decode(text: &str, name: HeaderName, most: usize) -> Result<String, EnvelopeError> {
    let Ok(decoded) = percent_decode_str(text).decode_utf8() else { return Err(EnvelopeError::Malformed(name)) };
    let encoded: usize = utf8_percent_encode(&decoded, NAME).map(str::len).sum();
    if encoded > most { Err(EnvelopeError::TooLong(name)) } else { Ok(decoded.into_owned()) }
}

fn optional_bytes<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

fn optional(headers: &HeaderMap, name: HeaderName, most: usize) -> Result<Option<&str>, EnvelopeError> {
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(EnvelopeError::Twice(name));
    }
    if value.len() > most {
        return Err(EnvelopeError::TooLong(name));
    }
    std::str::from_utf8(value.as_bytes()).map(Some).map_err(|_| EnvelopeError::Malformed(name))
}

fn required(headers: &HeaderMap, name: HeaderName, most: usize) -> Result<&str, EnvelopeError> {
    optional(headers, name.clone(), most)?.ok_or(EnvelopeError::Missing(name))
}

fn required_name(headers: &HeaderMap, name: HeaderName) -> Result<String, EnvelopeError> {
    let decoded = decode(required(headers, name.clone(), 3 * NAME_BYTES)?, name.clone(), 3 * NAME_BYTES)?;
    if decoded.is_empty() { Err(EnvelopeError::Malformed(name)) } else { Ok(decoded) }
}

fn parsed<T: std::str::FromStr>(headers: &HeaderMap, name: HeaderName) -> Result<Option<T>, EnvelopeError> {
    let text = optional(headers, name.clone(), 64)?;
    text.map(|text| text.parse().map_err(|_| EnvelopeError::Malformed(name))).transpose()
}

fn flag(headers: &HeaderMap, name: HeaderName) -> Result<bool, EnvelopeError> {
    match optional(headers, name.clone(), 1)? {
        None => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(EnvelopeError::Malformed(name)),
    }
}

/// The credential's mark, whether its home is known or guessed, and the home.
fn write_home(home: &Told) -> String {
    let sure = if home.sure { SURE } else { GUESSED };
    format!("{}.{sure}.{}", home.mark, encode(home.site.as_str()))
}

const SURE: &str = "known";
const GUESSED: &str = "guessed";

fn read_home(headers: &HeaderMap) -> Result<Option<Told>, EnvelopeError> {
    let Some(text) = optional(headers, HOME, 64 + 3 * NAME_BYTES)? else { return Ok(None) };
    let malformed = || EnvelopeError::Malformed(HOME);
    let mut parts = text.splitn(3, '.');
    let mark = parts.next().and_then(|mark| mark.parse().ok()).ok_or_else(malformed)?;
    let sure = match parts.next() {
        Some(SURE) => true,
        Some(GUESSED) => false,
        _ => return Err(malformed()),
    };
    let site = decode(parts.next().unwrap_or_default(), HOME, 3 * NAME_BYTES)?;
    if site.is_empty() { Err(malformed()) } else { Ok(Some(Told { mark, site: site.into(), sure })) }
}

fn write_hops(hops: &[Hop]) -> String {
    let written: Vec<_> =
        hops.iter().map(|hop| format!("{}/{}", encode(hop.site.as_str()), encode(hop.host.as_str()))).collect();
    written.join(",")
}

fn read_hops(text: &str) -> Result<Vec<Hop>, EnvelopeError> {
    let mut hops = Vec::new();
    for part in text.split(',') {
        let (site, host) = part.split_once('/').ok_or(EnvelopeError::Malformed(HOPS))?;
        if site.is_empty() || host.is_empty() {
            return Err(EnvelopeError::Malformed(HOPS));
        }
        if hops.len() == MAX_HOPS {
            return Err(EnvelopeError::TooLong(HOPS));
        }
        let name = |text| decode(text, HOPS, 3 * NAME_BYTES);
        hops.push(Hop { site: name(site)?.into(), host: name(host)?.into() });
    }
    Ok(hops)
}

fn write_pairs(pairs: &[(String, String)]) -> String {
    let written: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    written.join(",")
}

/// Names and values; none where the field is missing.
fn read_pairs(headers: &HeaderMap, field: HeaderName) -> Result<Vec<(String, String)>, EnvelopeError> {
    let mut pairs = Vec::new();
    let most = MAX_LINKS * (3 * NAME_BYTES + 3 * LINK_BYTES + 2);
    let Some(text) = optional(headers, field.clone(), most)? else { return Ok(pairs) };
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or_else(|| EnvelopeError::Malformed(field.clone()))?;
        if pairs.len() == MAX_LINKS {
            return Err(EnvelopeError::TooLong(field));
        }
        let name = decode(name, field.clone(), 3 * NAME_BYTES)?;
        pairs.push((name, decode(value, field.clone(), 3 * LINK_BYTES)?));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests;
