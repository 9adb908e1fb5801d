//! Single values: from a TOML node to what the agent works with. Each error says what was expected.

use std::net::SocketAddr;
use std::time::Duration;

use super::model::EndpointUrl;
use super::source::{Node, Value};

pub fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

pub fn flag(node: &Node) -> Option<bool> {
    match node.value {
        Value::Flag(flag) => Some(flag),
        _ => None,
    }
}

pub fn count(node: &Node) -> Option<usize> {
    match node.value {
        Value::Integer(number) => usize::try_from(number).ok(),
        _ => None,
    }
}

/// Bytes: a number, or a number with B, KiB, MiB or GiB.
pub fn size(node: &Node) -> Option<usize> {
    let Some(text) = text(node) else { return count(node) };
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "B" | "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number).ok()?.checked_mul(factor)
}

/// A number with ms, s, m or h.
pub fn duration(node: &Node) -> Option<Duration> {
    duration_of(text(node)?)
}

/// [`duration`] of a bare text.
pub fn duration_of(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

pub fn address(node: &Node) -> Option<SocketAddr> {
    text(node)?.parse().ok()
}

/// One text or a list of them, each with its node.
pub fn texts(node: &Node) -> Option<Vec<(&Node, &str)>> {
    match &node.value {
        Value::Text(text) => Some(vec![(node, text)]),
        Value::Array(items) => items.iter().map(|item| Some((item, text(item)?))).collect(),
        _ => None,
    }
}

/// A host name or address and a port, such as `paris.example:7117` or `[::1]:7117`.
pub fn host_port(written: &str) -> Option<(String, u16)> {
    let authority: ::http::uri::Authority = written.parse().ok()?;
    let port = authority.port_u16().filter(|port| *port != 0)?;
    if written.contains('@') {
        return None;
    }
    Some((bare_host(authority.host())?, port))
}

/// A host without brackets; a bracketed one must be an IPv6 address.
fn bare_host(host: &str) -> Option<String> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().ok().map(|address| address.to_string()),
        None => (!host.is_empty()).then(|| host.to_owned()),
    }
}

/// An endpoint's URL (RFC 3986): scheme, authority, path prefix; nothing else.
///
/// # Errors
/// What doesn't fit, for people.
pub fn endpoint(written: &str) -> Result<EndpointUrl, String> {
    let uri: ::http::Uri = written.parse().map_err(|error| format!("\"{written}\" is not a URL: {error}"))?;
    let https = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(other) => return Err(format!("scheme \"{other}\" can't be served: write http or https")),
        None => return Err(format!("\"{written}\" is not a URL: write it as http://host:port")),
    };
    let authority = uri.authority().ok_or_else(|| format!("\"{written}\" has no host"))?;
    if authority.as_str().contains('@') {
        return Err("an endpoint can't hold a user or password".into());
    }
    if uri.query().is_some() || written.contains('#') {
        return Err("an endpoint can't have a query or fragment".into());
    }
    let host = bare_host(authority.host()).ok_or_else(|| format!("\"{}\" is not a host", authority.host()))?;
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => Some(if https { 443 } else { 80 }),
        rest => rest.and_then(|rest| rest.strip_prefix(':')?.parse().ok()).filter(|port| *port != 0),
    };
    let port = port.ok_or("a port is a number from 1 to 65535")?;
    let prefix = uri.path().trim_end_matches('/');
    check_prefix(prefix)?;
    Ok(EndpointUrl { https, host, port, prefix: prefix.to_owned() })
}

/// A prefix is compared byte by byte (AMENDMENTS 23), so it must have one spelling.
fn check_prefix(prefix: &str) -> Result<(), String> {
    let lower = prefix.to_ascii_lowercase();
    let odd = ["//", "%2e", "%2f"].iter().find(|part| lower.contains(**part)).copied();
    let odd = odd.or_else(|| prefix.split('/').find(|segment| matches!(*segment, "." | "..")));
    match odd {
        Some(part) => Err(format!("the path prefix can't contain \"{part}\"")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_taken_apart() {
        let plain = endpoint("http://10.0.0.1:9292").expect("a URL");
        assert_eq!(
            (plain.https, plain.host.as_str(), plain.port, plain.prefix.as_str()),
            (false, "10.0.0.1", 9292, "")
        );
        let v6 = endpoint("https://[::1]/image/").expect("a URL");
        assert_eq!((v6.https, v6.host.as_str(), v6.port, v6.prefix.as_str()), (true, "::1", 443, "/image"));
        assert_eq!(endpoint("http://glance.example/").expect("a URL").prefix, "");
    }

    #[test]
    fn odd_endpoints_are_refused() {
        for odd in [
            "10.0.0.1:9292",
            "ftp://a:1",
            "http://",
            "http://u:p@a",
            "http://a?b",
            "http://a#b",
            "http://a:0",
            "http://a:",
            "http://a:70000",
            "http://[::g]:1",
            "http://a/b/../c",
            "http://a/b//c",
            "http://a/%2Fc",
            "",
            "http:///x",
        ] {
            assert!(endpoint(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(host_port("paris.example:7117"), Some(("paris.example".into(), 7117)));
        assert_eq!(host_port("[2001:db8::1]:7117"), Some(("2001:db8::1".into(), 7117)));
        for odd in ["paris", "paris:", "paris:0", "paris:x", "u@paris:1", "[::1]", ":7117"] {
            assert_eq!(host_port(odd), None, "{odd}");
        }
    }
}
