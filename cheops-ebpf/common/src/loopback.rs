//! The loopback addresses that *are* the information: `127.64.0.0/10` holds an endpoint's number in its 22 low bits,
//! and the port is the `exec` session.

/// An IP address: the four words of an IPv6 address as they are in memory, so in network order; IPv4 in its IPv4-mapped
/// form (RFC 4291, 2.5.5.2). Words and not bytes, since the kernel's verifier refuses the loops that clear and compare
/// bytes to programs that are loaded without CAP_PERFMON.
pub type Ip = [u32; 4];

/// The highest endpoint number.
pub const MAX_NUMBER: u32 = (1 << 22) - 1;

/// The port that stands for "no session"; sessions are 1 to this less 1.
pub const NO_SESSION_PORT: u16 = u16::MAX;

const NETWORK: u32 = 0x7f40_0000;
/// The third word of an IPv4-mapped address.
const MAPPED: u32 = 0xffff_u32.to_be();
const MASK: u32 = !MAX_NUMBER;

/// Where a taken connection is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loopback {
    pub number: u32,
    /// 0 is none.
    pub session: u16,
}

impl Loopback {
    /// The IPv4 address, in the host's order. Bits of the number beyond 22 are cut off.
    #[inline(always)]
    pub const fn address(self) -> u32 {
        NETWORK | (self.number & MAX_NUMBER)
    }

    /// The port.
    #[inline(always)]
    pub const fn port(self) -> u16 {
        if self.session == 0 { NO_SESSION_PORT } else { self.session }
    }

    /// Reads both back. None for addresses outside `127.64.0.0/10`, and for port 0.
    #[inline(always)]
    pub const fn decode(address: u32, port: u16) -> Option<Self> {
        if !is_steered(address) || port == 0 {
            return None;
        }
        Some(Self { number: address & MAX_NUMBER, session: if port == NO_SESSION_PORT { 0 } else { port } })
    }
}

/// Whether an IPv4 address, in the host's order, is in `127.64.0.0/10`.
#[inline(always)]
pub const fn is_steered(address: u32) -> bool {
    address & MASK == NETWORK
}

/// An IPv4 address, in the host's order, in its IPv4-mapped form.
#[inline(always)]
pub const fn mapped(address: u32) -> Ip {
    [0, 0, MAPPED, address.to_be()]
}

/// The IPv4 address, in the host's order, of an IPv4-mapped one.
#[inline(always)]
pub const fn ipv4_of(ip: &Ip) -> Option<u32> {
    if ip[0] == 0 && ip[1] == 0 && ip[2] == MAPPED { Some(u32::from_be(ip[3])) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_and_session_comes_back() {
        for number in [0, 1, 255, 256, 65_536, MAX_NUMBER] {
            for session in [0, 1, 80, NO_SESSION_PORT - 1] {
                let loopback = Loopback { number, session };
                assert_eq!(Loopback::decode(loopback.address(), loopback.port()), Some(loopback));
            }
        }
    }

    #[test]
    fn the_range_is_127_64_to_127_127() {
        let ip = |a: u32, b: u32, c: u32, d: u32| a << 24 | b << 16 | c << 8 | d;
        assert_eq!(Loopback { number: 1, session: 0 }.address(), ip(127, 64, 0, 1));
        assert_eq!(Loopback { number: MAX_NUMBER, session: 0 }.address(), ip(127, 127, 255, 255));
        assert!(!is_steered(ip(127, 63, 255, 255)) && !is_steered(ip(127, 128, 0, 0)) && !is_steered(ip(10, 64, 0, 1)));
        assert_eq!(Loopback::decode(ip(127, 0, 0, 1), 80), None);
        assert_eq!(Loopback::decode(ip(127, 64, 0, 1), 0), None);
    }

    #[test]
    fn mapped_is_the_rfcs_form() {
        let mut bytes = [0; 16];
        for (word, bytes) in mapped(0x0a00_0001).iter().zip(bytes.chunks_exact_mut(4)) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1]);
        assert_eq!(ipv4_of(&mapped(0x0a00_0001)), Some(0x0a00_0001));
        assert_eq!(ipv4_of(&[0, 0, 0, 1_u32.to_be()]), None);
    }
}
