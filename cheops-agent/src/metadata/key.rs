//! Where a record is kept: one key for each, the same in every backend.
//!
//! All keys of a federation begin with `/cheops/<federation>/`. What one site writes stands below
//! `sites/<site>/`, so that a role of etcd can be limited to it; only liveness is kept elsewhere, since it alone is leased.
//! Each part of a key is percent-encoded, so no name can reach into another's prefix.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::names::{HostName, ServiceName, SiteName};

/// What stands in a part as it is (RFC 3986, 2.3: the unreserved letters).
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The key of a record, without the federation that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// What all sites share: the federation's name and authorities.
    Federation,
    /// A site and how it stands.
    Site(SiteName),
    /// An agent and where it is reached.
    Host(SiteName, HostName),
    /// A service as one site has it.
    Service(SiteName, ServiceName),
    /// What a site measured of others.
    Latencies(SiteName),
    /// That an agent lives; leased.
    Liveness(SiteName, HostName),
    /// A token that was issued and not redeemed yet, by its public id.
    Token(String),
    /// Certificates that are not believed any more, by whose they are: `<site>/<host>`, or `<site>` for all hosts.
    Revoked(String),
    /// A managed resource, by its meta id.
    Resource(String),
    /// A name that is reserved among all sites: service, kind, name.
    Name(ServiceName, String, String),
    /// Who may change a crossed resource as a whole, by its meta id.
    Prime(String),
}

/// The prefix of everything that `federation` keeps.
pub fn prefix(federation: &str) -> String {
    format!("/cheops/{}/", part(federation))
}

fn part(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = match self {
            Self::Federation => vec!["federation"],
            Self::Site(site) => vec!["sites", site.as_str(), "site"],
            Self::Host(site, host) => vec!["sites", site.as_str(), "hosts", host.as_str()],
            Self::Service(site, service) => vec!["sites", site.as_str(), "services", service.as_str()],
            Self::Latencies(site) => vec!["sites", site.as_str(), "latencies"],
            Self::Liveness(site, host) => vec!["liveness", site.as_str(), host.as_str()],
            Self::Token(id) => vec!["tokens", id],
            Self::Revoked(serial) => vec!["revoked", serial],
            Self::Resource(id) => vec!["resources", id],
            Self::Name(service, kind, name) => vec!["names", service.as_str(), kind, name],
            Self::Prime(id) => vec!["primes", id],
        };
        let parts: Vec<String> = parts.into_iter().map(part).collect();
        f.write_str(&parts.join("/"))
    }
}

impl Key {
    /// The key as a backend has it.
    pub fn full(&self, federation: &str) -> String {
        format!("{}{self}", prefix(federation))
    }

    /// The key that stands behind the federation's prefix; `None` if it is none of ours (or of an agent to come).
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Option<Vec<String>> = text
            .split('/')
            .map(|part| {
                let decoded = percent_decode_str(part).decode_utf8().ok()?.into_owned();
                (!decoded.is_empty()).then_some(decoded)
            })
            .collect();
        let parts = parts?;
        let key = match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["federation"] => Self::Federation,
            ["sites", site, "site"] => Self::Site(site.into()),
            ["sites", site, "hosts", host] => Self::Host(site.into(), host.into()),
            ["sites", site, "services", service] => Self::Service(site.into(), service.into()),
            ["sites", site, "latencies"] => Self::Latencies(site.into()),
            ["liveness", site, host] => Self::Liveness(site.into(), host.into()),
            ["tokens", id] => Self::Token(id.into()),
            ["revoked", serial] => Self::Revoked(serial.into()),
            ["resources", id] => Self::Resource(id.into()),
            ["names", service, kind, name] => Self::Name(service.into(), kind.into(), name.into()),
            ["primes", id] => Self::Prime(id.into()),
            _ => return None,
        };
        // One key has one spelling.
        (key.to_string() == text).then_some(key)
    }

    /// The site that alone may write the record; `None` if it is everybody's, or the authorities'.
    pub fn site(&self) -> Option<&SiteName> {
        match self {
            Self::Site(site)
            | Self::Host(site, _)
            | Self::Service(site, _)
            | Self::Latencies(site)
            | Self::Liveness(site, _) => Some(site),
            _ => None,
        }
    }

    /// Whether only a live lease keeps the record. All others go by being removed alone (AMENDMENTS 22).
    pub fn leased(&self) -> bool {
        matches!(self, Self::Liveness(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        for (key, text) in [
            (Key::Federation, "federation"),
            (Key::Site("New York".into()), "sites/New%20York/site"),
            (Key::Host("Berlin".into(), "b/1".into()), "sites/Berlin/hosts/b%2F1"),
            (Key::Service("Berlin".into(), "Nova".into()), "sites/Berlin/services/Nova"),
            (Key::Latencies("Köln".into()), "sites/K%C3%B6ln/latencies"),
            (Key::Liveness("Berlin".into(), "b1".into()), "liveness/Berlin/b1"),
            (Key::Token("a1".into()), "tokens/a1"),
            (Key::Revoked("0f".into()), "revoked/0f"),
            (Key::Resource("r".into()), "resources/r"),
            (Key::Name("Nova".into(), "server".into(), "vm 1".into()), "names/Nova/server/vm%201"),
            (Key::Prime("r".into()), "primes/r"),
        ] {
            assert_eq!(key.to_string(), text);
            assert_eq!(Key::parse(text), Some(key));
        }
        assert_eq!(Key::Federation.full("a/b"), "/cheops/a%2Fb/federation");
    }

    #[test]
    fn what_is_no_key_is_none() {
        for text in ["", "sites", "sites//site", "sites/Berlin/site/", "sites/%42erlin/site", "sites/%ff/site", "x/y"] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }
}
