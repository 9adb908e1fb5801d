//! Certificates that are not to be believed any more, as records.

use super::key::Key;
use super::record::{Millis, Record, Revoked};
use super::store::View;
use super::transaction::Write;
use crate::names::{HostName, SiteName};

/// Longest life of a certificate that a host of a federation signs, in milliseconds: 90 days.
pub const LONGEST_LIFE: Millis = 90 * 86_400_000;

/// What revokes every certificate that a host, or each host of a site, was given until `now`: also those of which nobody
/// knows here, since whoever has a host's key can have it renewed.
pub fn writes(view: &View, site: &SiteName, host: Option<&HostName>, now: Millis) -> Vec<Write> {
    let known = || {
        view.iter().filter_map(|(key, record)| match (key, record) {
            (Key::Host(of, name), Record::Host(record)) if of == site && host.is_none_or(|host| host == name) => {
                record.certificate.as_ref()
            }
            _ => None,
        })
    };
    let expires = known().map(|certificate| certificate.expires).chain([now.saturating_add(LONGEST_LIFE)]).max();
    // The clock of whoever signed it may be ahead of this host's.
    let since = known().filter_map(|certificate| issued(&certificate.serial)).chain([now]).max().unwrap_or(now);
    let revoked = Revoked { site: site.clone(), host: host.cloned(), since, expires };
    vec![Write::Put(Key::Revoked(name(site, host)), Record::Revoked(revoked))]
}

/// Under what a host, or a site, is revoked.
pub fn name(site: &SiteName, host: Option<&HostName>) -> String {
    host.map_or_else(|| site.to_string(), |host| format!("{site}/{host}"))
}

/// The first byte of serial numbers that tell when they were given out.
const TELLS: &str = "43";
/// How long such a serial number is, in hexadecimal.
const SERIAL: usize = 32;

/// A new serial number (RFC 5280, 4.1.2.2) in 16 bytes: the time, so that a revocation can be of everything that was issued
/// before it, and chance. `not-before` can't tell that: it is set back, since clocks differ.
pub fn serial(now: Millis) -> [u8; 16] {
    let chance: [u8; 16] = rand::random();
    let mut serial = [0; 16];
    let all = std::iter::once(0x43).chain(now.to_be_bytes().into_iter().skip(2)).chain(chance);
    serial.iter_mut().zip(all).for_each(|(byte, from)| *byte = from);
    serial
}

/// When a certificate with that serial number (in hexadecimal) was issued, if the number tells.
pub fn issued(serial: &str) -> Option<Millis> {
    let time = serial.strip_prefix(TELLS).filter(|_| serial.len() == SERIAL)?.get(..12)?;
    Millis::from_str_radix(time, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_tells_its_time() {
        let text: String = serial(1_795_000_000_123).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(issued(&text), Some(1_795_000_000_123));
        for other in ["", "43", "5f00000000000000000000000000ffff", "430000000000000000000000000000000000", "43é"] {
            assert_eq!(issued(other), None, "{other}");
        }
    }
}
