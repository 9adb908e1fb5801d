//! Whom a request is for: its target's form and its Host (RFC 9112, 3.2).

use memchr::{memchr, memchr2, memmem};

use crate::http::error::FramingError;
use crate::http::fields::Framing;
use crate::http::head::Version;

/// RFC 9112, 3.2: exactly one valid `Host` on 1.1, at most one on 1.0.
pub(super) fn host<'a>(raw: &'a [u8], framing: &Framing, version: Version) -> Result<Option<&'a [u8]>, FramingError> {
    let host = framing.host.first.map(|field| field.value_in(raw));
    if let Some(field) = &framing.host.first {
        field.no_tabs(raw)?;
    }
    match host {
        _ if framing.host.times > 1 => Err(FramingError::Malformed("there is more than one Host")),
        None if version == Version::Http11 => Err(FramingError::Malformed("there is no Host")),
        Some(host) if !host.is_empty() && !is_authority(host) => {
            Err(FramingError::Malformed("the Host is not a host and port"))
        }
        host => Ok(host),
    }
}

/// RFC 9112, 3.2.1 to 3.2.4: the target has one of the four forms, the one that the method asks for, and doesn't
/// contradict the Host.
pub(super) fn check(method: &[u8], target: &[u8], host: Option<&[u8]>) -> Result<(), FramingError> {
    if memchr(b'#', target).is_some() {
        return Err(FramingError::Malformed("the target has a fragment"));
    }
    match (method, target) {
        (b"CONNECT", target) if is_authority(target) && has_port(target) => Ok(()),
        (b"CONNECT", _) => Err(FramingError::Malformed("the target of CONNECT is not a host and port")),
        (_, [b'/', ..]) | (b"OPTIONS", b"*") => Ok(()),
        _ => absolute(target, host),
    }
}

/// A server must take the target's authority, and many take the Host.
fn absolute(target: &[u8], host: Option<&[u8]>) -> Result<(), FramingError> {
    let malformed = FramingError::Malformed("the target is neither a path nor a whole URI");
    let split = memmem::find(target, b"://").ok_or(malformed)?;
    let (scheme, rest) = (target.get(..split).unwrap_or_default(), target.get(split + 3..).unwrap_or_default());
    let authority = rest.get(..memchr2(b'/', b'?', rest).unwrap_or(rest.len())).unwrap_or_default();
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    if !is_scheme || !is_authority(authority) {
        return Err(malformed);
    }
    let same = |host| usual(authority, scheme).eq_ignore_ascii_case(usual(host, scheme));
    match host.is_none_or(same) {
        true => Ok(()),
        false => Err(FramingError::Malformed("the target and the Host name different hosts")),
    }
}

/// An authority without the port that its scheme has anyway (RFC 9110, 4.2.3).
fn usual<'a>(authority: &'a [u8], scheme: &[u8]) -> &'a [u8] {
    let port: &[u8] = match scheme {
        _ if scheme.eq_ignore_ascii_case(b"http") => b":80",
        _ if scheme.eq_ignore_ascii_case(b"https") => b":443",
        _ => b":",
    };
    authority.strip_suffix(port).or(authority.strip_suffix(b":")).unwrap_or(authority)
}

/// `uri-host [ ":" port ]` with a host (RFC 3986, 3.2.2 and 3.2.3).
fn is_authority(bytes: &[u8]) -> bool {
    let (host, port) = match bytes {
        [b'[', rest @ ..] => {
            let Some(end) = memchr(b']', rest) else { return false };
            let (address, port) = rest.split_at_checked(end).unwrap_or_default();
            let is_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            if memchr(b':', address).is_none() || !address.iter().all(is_address) {
                return false;
            }
            (address, port.get(1..).unwrap_or_default())
        }
        _ => bytes.split_at_checked(memchr(b':', bytes).unwrap_or(bytes.len())).unwrap_or_default(),
    };
    let is_name = matches!(bytes, [b'[', ..]) || host.iter().all(|byte| is_name_byte(*byte));
    !host.is_empty() && is_name && is_port(port)
}

/// Nothing, or a colon and a port, which may be empty.
fn is_port(bytes: &[u8]) -> bool {
    match bytes {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
        }
        _ => false,
    }
}

fn has_port(authority: &[u8]) -> bool {
    authority.last().is_some_and(u8::is_ascii_digit)
        && authority.iter().rev().find(|byte| !byte.is_ascii_digit()) == Some(&b':')
}

/// RFC 3986, 3.2.2, reg-name; without the comma, which some readers take for a list of hosts.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&byte)
}
