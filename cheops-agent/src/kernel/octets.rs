//! Addresses as the kernel programs have them: 16 bytes, IPv4 in its IPv4-mapped form.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::address::canonical_ip;

/// The 16 bytes of an address.
pub fn of(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The address that 16 bytes and a port stand for, canonical.
pub fn address(octets: [u8; 16], port: u16) -> SocketAddr {
    SocketAddr::new(canonical_ip(Ipv6Addr::from(octets).into()), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_come_back() {
        for text in ["10.0.0.1:80", "[fd00::1]:443", "[::1]:1", "127.0.0.1:65535"] {
            let whole: SocketAddr = text.parse().expect("an address");
            assert_eq!(address(of(whole.ip()), whole.port()), whole);
        }
        let IpAddr::V4(ip) = "10.0.0.1".parse().expect("an address") else { panic!("IPv4") };
        assert_eq!(of(ip.into()), cheops_ebpf_common::mapped(ip.into()));
    }
}
