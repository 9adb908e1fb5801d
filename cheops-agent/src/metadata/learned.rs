//! What another site may not announce as its endpoint (AMENDMENTS 20). Endpoints of this host's own file are not asked.

use std::net::{IpAddr, SocketAddr};

use super::snapshot::Snapshot;
use crate::names::NameFault;

/// Why a learned endpoint is refused; shown by `check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a loopback address means another host everywhere")]
    Loopback,
    #[error("a link-local address means another host on every link")]
    LinkLocal,
    #[error("an unspecified or multicast address is no host's")]
    NoHost,
    #[error("it is an address of this host")]
    ThisHost,
    #[error("it is an endpoint of this site")]
    OwnEndpoint,
    #[error("this host's file says that it is another site's endpoint")]
    AnotherSite,
    #[error("it is no URL of an endpoint")]
    NoUrl,
    #[error(transparent)]
    Name(#[from] NameFault),
}

/// Whether this agent may believe that another site has an endpoint at `address`. `host` are the addresses of this host.
///
/// # Errors
/// The first rule that the address breaks.
pub fn admit(address: SocketAddr, snapshot: &Snapshot, host: &[IpAddr]) -> Result<(), Refusal> {
    admit_within(address)?;
    let ip = address.ip().to_canonical();
    let canonical = SocketAddr::new(ip, address.port());
    let own = snapshot.sites.values().filter(|site| site.own).map(|site| &site.name);
    if snapshot.at(canonical).any(|addressed| own.clone().any(|site| site == addressed.site)) {
        return Err(Refusal::OwnEndpoint);
    }
    if host.contains(&ip) { Err(Refusal::ThisHost) } else { Ok(()) }
}

/// Whether this agent may believe that another host of its own site has an endpoint at `address`.
///
/// # Errors
/// When the address means another host everywhere.
pub fn admit_within(address: SocketAddr) -> Result<(), Refusal> {
    let ip = address.ip().to_canonical();
    if ip.is_loopback() {
        return Err(Refusal::Loopback);
    }
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(Refusal::NoHost);
    }
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if link_local {
        return Err(Refusal::LinkLocal);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_text;
    use crate::metadata::{Names, build};

    #[test]
    fn each_rule_refuses() {
        let text = "site = \"B\"\n[[services]]\nname = \"S\"\nendpoints = { B = \"http://10.0.0.1:80\" }";
        let snapshot = build(&from_text(text).expect("valid").config, &Names::default());
        let host: Vec<IpAddr> = vec!["10.0.0.9".parse().expect("an address")];
        for (address, expected) in [
            ("127.0.0.1:80", Err(Refusal::Loopback)),
            ("[::1]:80", Err(Refusal::Loopback)),
            ("[::ffff:127.0.0.1]:80", Err(Refusal::Loopback)),
            ("169.254.0.1:80", Err(Refusal::LinkLocal)),
            ("[fe80::1]:80", Err(Refusal::LinkLocal)),
            ("0.0.0.0:80", Err(Refusal::NoHost)),
            ("224.0.0.1:80", Err(Refusal::NoHost)),
            ("10.0.0.1:80", Err(Refusal::OwnEndpoint)),
            ("[::ffff:10.0.0.1]:80", Err(Refusal::OwnEndpoint)),
            ("10.0.0.9:80", Err(Refusal::ThisHost)),
            ("10.0.0.1:81", Ok(())),
            ("10.0.0.2:80", Ok(())),
        ] {
            assert_eq!(admit(address.parse().expect("an address"), &snapshot, &host), expected, "{address}");
        }
    }
}
