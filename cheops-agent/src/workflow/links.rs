//! The ids in a request's head by which calls are linked to the request that caused them.

use serde::{Deserialize, Serialize};

use super::caller::Caller;
use crate::http::RequestHead;
use crate::profile::Correlation;

/// Ids of one request that are looked at: the first ones. A request has one to three.
pub const MAX_LINKS: usize = 8;
/// Bytes of an id. A longer value is no id.
pub const MAX_VALUE: usize = 256;

const TRACEPARENT: &str = "traceparent";
const REQUEST_ID: &str = "x-request-id";
const B3: &str = "b3";
const B3_TRACE_ID: &str = "x-b3-traceid";
/// The name of the ids that W3C and B3 headers share: a service may translate one into the other.
const TRACE: &str = "trace";
/// The name of what is no id; no header has it.
const CREDENTIAL: &str = "(credential)";

/// The header that holds an id, in the order of SPEC.md 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Another header, which the profile names.
    Profile,
    /// W3C Trace Context, the trace-id of `traceparent`.
    Traceparent,
    /// `X-Request-Id`.
    RequestId,
    /// Zipkin's `b3` or `X-B3-TraceId`.
    B3,
    /// The caller's credential, where the profile allows it: the last resort, and no id.
    Credential,
}

impl Kind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Profile, Self::Traceparent, Self::RequestId, Self::B3, Self::Credential];

    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Traceparent => "traceparent",
            Self::RequestId => "request-id",
            Self::B3 => "b3",
            Self::Credential => "credential",
        }
    }
}

/// One id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// `trace` for a trace's id, else the header's name in lower case.
    pub name: String,
    /// Of a trace 32 hexadecimal digits in lower case; of a credential a mark of it; else the header's value as it came.
    pub value: String,
}

impl Link {
    /// It is made of a credential: shown to nobody.
    pub fn is_credential(&self) -> bool {
        self.name == CREDENTIAL
    }
}

/// What of a head may link it, by its service's profile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'a> {
    /// Headers with ids.
    pub correlation: &'a [Correlation],
    /// The credential, where it links.
    pub credential: Option<&'a [u8]>,
}

/// A request's ids in the order of their kinds, none twice.
pub type Links = Vec<(Kind, Link)>;

/// Finds the ids of a request. Where there is none, nothing is allocated.
pub fn of(head: &RequestHead, named: Named<'_>) -> Links {
    let Named { correlation, credential } = named;
    let mut links = Links::new();
    for field in head.fields() {
        let name = head.name(field);
        let named = correlation.iter().any(|correlation| correlation.header.eq_ignore_ascii_case(name));
        let Some((kind, value)) = read(name, head.value(field), named) else { continue };
        let name = match kind {
            Kind::Traceparent | Kind::B3 => TRACE.to_owned(),
            Kind::Profile | Kind::RequestId | Kind::Credential => name.to_ascii_lowercase(),
        };
        let link = Link { name, value };
        match links.iter_mut().find(|(_, known)| *known == link) {
            Some(known) => known.0 = known.0.min(kind),
            None => links.push((kind, link)),
        }
    }
    links.sort_by_key(|(kind, _)| *kind);
    links.truncate(MAX_LINKS);
    if let Some(credential) = credential {
        // Each request's own mark would link nothing: this one is the same in all.
        let value = Caller::of(credential, CREDENTIAL).to_string();
        links.push((Kind::Credential, Link { name: CREDENTIAL.to_owned(), value }));
    }
    links
}

/// The kind and the id of a header, if it holds one.
fn read(name: &str, value: &[u8], named: bool) -> Option<(Kind, String)> {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is(TRACEPARENT) {
        return Some((Kind::Traceparent, traceparent(value)?));
    }
    if is(B3) {
        return Some((Kind::B3, b3(value)?));
    }
    if is(B3_TRACE_ID) {
        return Some((Kind::B3, trace_id(value)?));
    }
    if is(REQUEST_ID) {
        return Some((Kind::RequestId, opaque(value)?));
    }
    named.then(|| Some((Kind::Profile, opaque(value)?)))?
}

/// An id that means nothing but itself.
fn opaque(value: &[u8]) -> Option<String> {
    let fits = !value.is_empty() && value.len() <= MAX_VALUE && value.iter().all(|byte| (0x20..0x7f).contains(byte));
    fits.then(|| String::from_utf8_lossy(value).into_owned())
}

/// The trace-id of a `traceparent` (W3C Trace Context, 3.2): `00-<32 hex>-<16 hex>-<2 hex>`; later versions may add to it.
fn traceparent(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(5, |byte| *byte == b'-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower = |part: &[u8], length: usize| {
        part.len() == length && part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let fits = lower(version, 2) && lower(trace, 32) && lower(parent, 16) && lower(flags, 2);
    let over = parts.next().is_some();
    if !fits || version == b"ff" || (version == b"00" && over) || is_zero(parent) {
        return None;
    }
    trace_id(trace)
}

/// The trace id of a single `b3` header: `<trace>-<span>[-<sampled>[-<parent>]]`; without a trace it is only a flag.
fn b3(value: &[u8]) -> Option<String> {
    let end = value.iter().position(|byte| *byte == b'-')?;
    trace_id(value.get(..end)?)
}

/// A trace's id of 128 or 64 bits, as one of 128. All zeros is none.
fn trace_id(value: &[u8]) -> Option<String> {
    let fits = matches!(value.len(), 16 | 32) && value.iter().all(u8::is_ascii_hexdigit) && !is_zero(value);
    fits.then(|| format!("{:0>32}", String::from_utf8_lossy(value).to_ascii_lowercase()))
}

fn is_zero(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte == b'0')
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn found(fields: &str, named: &[&str]) -> Vec<(Kind, String)> {
        let text = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let head = RequestHead::parse(Bytes::from(text), 100).expect("well-formed");
        let correlation =
            named.iter().map(|header| Correlation { header: (*header).to_owned(), set: None, restore: false });
        let links = of(&head, Named { correlation: &correlation.collect::<Vec<_>>(), credential: None });
        links.into_iter().map(|(kind, link)| (kind, format!("{}={}", link.name, link.value))).collect()
    }

    fn one(fields: &str) -> Option<(Kind, String)> {
        found(fields, &[]).pop()
    }

    #[test]
    fn each_header_gives_its_id() {
        let trace = |kind| Some((kind, format!("trace={TRACE_ID}")));
        let parent = "00f067aa0ba902b7";
        assert_eq!(one(&format!("TraceParent: 00-{TRACE_ID}-{parent}-01\r\n")), trace(Kind::Traceparent));
        assert_eq!(one(&format!("traceparent: cc-{TRACE_ID}-{parent}-01-more-to-come\r\n")), trace(Kind::Traceparent));
        assert_eq!(one(&format!("b3: {}-{parent}-1\r\n", TRACE_ID.to_uppercase())), trace(Kind::B3));
        assert_eq!(one(&format!("X-B3-TraceId: {TRACE_ID}\r\n")), trace(Kind::B3));
        assert_eq!(
            one("X-B3-TraceId: a3ce929d0e0e4736\r\n"),
            Some((Kind::B3, format!("trace={}a3ce929d0e0e4736", "0".repeat(16))))
        );
        assert_eq!(one("x-request-ID: Ab 1\r\n"), Some((Kind::RequestId, "x-request-id=Ab 1".to_owned())));
        assert_eq!(
            found("X-Openstack-Request-Id: req-1\r\n", &["x-openstack-request-id"]),
            [(Kind::Profile, "x-openstack-request-id=req-1".to_owned())]
        );
    }

    #[test]
    fn a_credential_links_only_where_it_may_and_is_not_to_be_read() {
        let of = |fields: &str, credential| {
            let head = Bytes::from(format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
            let head = RequestHead::parse(head, 100).expect("well-formed");
            super::of(&head, Named { correlation: &[], credential })
        };
        let links = of("X-Request-Id: r\r\n", Some(b"gAAAA-token"));
        assert_eq!(links.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [Kind::RequestId, Kind::Credential]);
        assert!(links[1].1.is_credential() && !links[1].1.value.contains("gAAAA"));
        assert_eq!(of("", Some(b"gAAAA-token")), links[1..]);
        assert_ne!(of("", Some(b"other")), links[1..]);
        assert_eq!(of("X-Auth-Token: gAAAA-token\r\n", None), []);
    }

    #[test]
    fn what_is_no_id_links_nothing() {
        let parent = "00f067aa0ba902b7";
        let (zeros, upper) = ("0".repeat(32), TRACE_ID.to_uppercase());
        let long = format!("X-Request-Id: {}\r\n", "a".repeat(MAX_VALUE + 1));
        for fields in [
            "",
            "X-Openstack-Request-Id: req-1\r\n",
            &format!("traceparent: 00-{zeros}-{parent}-01\r\n"),
            &format!("traceparent: 00-{upper}-{parent}-01\r\n"),
            &format!("traceparent: 00-{TRACE_ID}-{}-01\r\n", "0".repeat(16)),
            &format!("traceparent: ff-{TRACE_ID}-{parent}-01\r\n"),
            &format!("traceparent: 00-{TRACE_ID}-{parent}-01-x\r\n"),
            &format!("traceparent: 00-{TRACE_ID}-{parent}\r\n"),
            "traceparent: \r\n",
            "b3: 0\r\n",
            "b3: d\r\n",
            "X-B3-TraceId: xyz\r\n",
            &format!("X-B3-TraceId: {zeros}\r\n"),
            "X-Request-Id:\r\n",
            "X-Request-Id: \u{fc}\r\n",
            long.as_str(),
        ] {
            assert_eq!(found(fields, &[]), [], "{fields}");
        }
    }

    #[test]
    fn several_ids_come_in_the_order_of_their_kinds_and_none_twice() {
        let fields = format!(
            "b3: {TRACE_ID}-1-1\r\nX-Request-Id: r\r\nX-Request-Id: s\r\nX-Request-Id: r\r\n\
             traceparent: 00-{TRACE_ID}-00f067aa0ba902b7-01\r\nMine: m\r\n"
        );
        let links = found(&fields, &["mine"]);
        let kinds: Vec<_> = links.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [Kind::Profile, Kind::Traceparent, Kind::RequestId, Kind::RequestId], "{links:?}");
        let many: String = (0..30).map(|number| format!("X-Request-Id: {number}\r\n")).collect();
        assert_eq!(found(&many, &[]).len(), MAX_LINKS);
    }
}
