//! Socket addresses by what they mean, so that one can't be passed where another is wanted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(SocketAddr);

        impl $name {
            /// Takes the address in canonical form: an IPv4-mapped IPv6 address becomes IPv4.
            pub fn new(address: SocketAddr) -> Self {
                Self(canonical(address))
            }

            /// The plain address, always canonical.
            pub fn get(self) -> SocketAddr {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

address! {
    /// The address that the client connected to, before the kernel programs took the connection.
    OrigDst
}
address! {
    /// The client's own address, as it would be seen without the agent.
    ClientAddr
}
address! {
    /// Where another site's agent listens for peers.
    PeerAddr
}

/// The one place where IPv4-mapped IPv6 addresses (RFC 4291, 2.5.5.2) become IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical_ip(address.ip()), address.port())
}

/// [`canonical`] for an address without a port.
pub fn canonical_ip(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Whether one of the `own` listeners is met at `to`. One on the unspecified address is met at every address of this host.
pub fn is_own(to: SocketAddr, own: &[SocketAddr]) -> bool {
    own.iter().any(|own| {
        let met = || own.ip().is_unspecified() && (to.ip().is_unspecified() || is_here(to.ip()));
        own.port() == to.port() && (own.ip() == to.ip() || met())
    })
}

/// Whether an address is one of this host's: the kernel routes it to itself, and would so use it as its own source.
/// Nothing is sent.
pub fn is_here(ip: IpAddr) -> bool {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let source = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((ip, 9))?;
        socket.local_addr()
    };
    ip.is_loopback() || source().is_ok_and(|source| source.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_become_ipv4() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().expect("an address");
        assert_eq!(OrigDst::new(mapped).to_string(), "10.0.0.1:80");
        let native: SocketAddr = "[2001:db8::1]:80".parse().expect("an address");
        assert_eq!(ClientAddr::new(native).get(), native);
    }

    #[test]
    fn own_addresses_are_told_from_others() {
        for (ip, here) in
            [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("192.0.2.1", false), ("2001:db8::1", false)]
        {
            assert_eq!(is_here(ip.parse().expect("an address")), here, "{ip}");
        }
    }
}
