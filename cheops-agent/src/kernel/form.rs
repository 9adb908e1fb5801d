//! Addresses as the kernel programs have them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use cheops_ebpf_common::Ip;

use crate::address::canonical_ip;

/// The programs' form of an address.
pub fn of(ip: IpAddr) -> Ip {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let bits = ip.to_bits();
    [96, 64, 32, 0].map(|shift| ((bits >> shift) as u32).to_be())
}

/// The address and port that the programs mean, canonical. Their ports fill a word where a key needs it.
pub fn address(ip: Ip, port: impl Into<u32>) -> SocketAddr {
    SocketAddr::new(canonical_ip(plain(ip)), port.into() as u16)
}

/// The address that the programs mean.
pub fn plain(ip: Ip) -> IpAddr {
    let bits = ip.iter().fold(0_u128, |bits, word| bits << 32 | u128::from(u32::from_be(*word)));
    Ipv6Addr::from_bits(bits).into()
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
