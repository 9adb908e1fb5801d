//! What an accepted socket tells: where its connection was going, who opened it, under which `exec` session.

use std::io;
use std::net::{IpAddr, SocketAddr};

use cheops_ebpf_common::{Loopback, NOTE_TAKEN, Note, is_steered};

use super::guarded::Known;
use super::{form, source};
use crate::accept::{OriginError, SessionId, Taken};
use crate::address::{ClientAddr, OrigDst};

/// Reads a taken connection's addresses. `note` is what the programs noted of its socket, if anything.
///
/// # Errors
/// When it was not taken, or opened by another host to an address that only this one's processes may be sent to.
pub fn taken(known: &Known, local: SocketAddr, peer: SocketAddr, note: Option<Note>) -> Result<Taken, OriginError> {
    if let Some(note) = note.filter(|note| note.kind == NOTE_TAKEN) {
        return left(known, form::address(note.address, note.port), peer, note.session);
    }
    if let IpAddr::V4(ip) = local.ip()
        && is_steered(ip.into())
    {
        let steered = Loopback::decode(ip.into(), local.port()).ok_or(OriginError::NotTaken(peer))?;
        let orig = known.address(steered.number).ok_or(OriginError::UnknownEndpoint(steered.number))?;
        return left(known, orig, peer, steered.session);
    }
    // It arrived: the socket has both ends' own addresses. One that was opened to the listener itself has not.
    if !known.was_guarded(local) {
        return Err(OriginError::NotTaken(peer));
    }
    Ok(Taken { orig: OrigDst::new(local), client: ClientAddr::new(peer), session: None })
}

/// A connection of this host's process. Its source is the one that it would have had on its own way, unless it chose one.
fn left(known: &Known, orig: SocketAddr, peer: SocketAddr, session: u16) -> Result<Taken, OriginError> {
    let source = match peer.ip() {
        ip if ip.is_loopback() => known.source(orig).unwrap_or(ip),
        ip if source::is_local(ip) => ip,
        _ => return Err(OriginError::NotTaken(peer)),
    };
    let session = (session != 0).then_some(SessionId(session));
    let client = ClientAddr::new(SocketAddr::new(source, peer.port()));
    Ok(Taken { orig: OrigDst::new(orig), client, session })
}

/// An error of a map as one of the socket that it concerns.
pub fn of_socket(error: aya::maps::MapError) -> io::Error {
    match error {
        aya::maps::MapError::SyscallError(error) => error.io_error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::Numbers;
    use super::*;

    const SERVICE: &str = "10.0.0.1:80";
    const SOURCE: &str = "10.0.0.9";

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn known() -> (Known, u32) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut numbers = Numbers::load(directory.path()).expect("empty");
        let number = numbers.give(address(SERVICE)).expect("a number").0;
        let mut known = Known::new(numbers);
        known.learn(address(SERVICE), SOURCE.parse().ok());
        known.learn(address("[fd00::1]:80"), None);
        (known, number)
    }

    fn steered(number: u32, session: u16) -> SocketAddr {
        let steered = Loopback { number, session };
        SocketAddr::new(std::net::Ipv4Addr::from(steered.address()).into(), steered.port())
    }

    fn note(kind: u32, to: &str, session: u16) -> Option<Note> {
        let to = address(to);
        Some(Note { address: form::of(to.ip()), kind, number: 1, port: to.port(), session, zero: 0 })
    }

    fn outcome(local: SocketAddr, peer: &str, note: Option<Note>) -> Result<(String, String, Option<u16>), String> {
        let taken = taken(&known().0, local, address(peer), note).map_err(|error| error.to_string())?;
        Ok((taken.orig.to_string(), taken.client.to_string(), taken.session.map(|session| session.0)))
    }

    #[test]
    fn one_that_arrived_has_both_ends_own_addresses() {
        let expected = Ok((SERVICE.into(), "192.0.2.7:555".into(), None));
        assert_eq!(outcome(address(SERVICE), "192.0.2.7:555", None), expected);
    }

    #[test]
    fn one_that_left_is_read_from_its_loopback_address() {
        let (_, number) = known();
        let client = format!("{SOURCE}:555");
        assert_eq!(outcome(steered(number, 0), "127.0.0.1:555", None), Ok((SERVICE.into(), client.clone(), None)));
        assert_eq!(outcome(steered(number, 7), "127.0.0.1:555", None), Ok((SERVICE.into(), client, Some(7))));
    }

    #[test]
    fn native_ipv6_is_read_from_the_note() {
        let local = address("[::1]:4000");
        let noted = note(NOTE_TAKEN, "[fd00::1]:80", 7);
        let expected = Ok(("[fd00::1]:80".into(), "[::1]:555".into(), Some(7)));
        assert_eq!(outcome(local, "[::1]:555", noted), expected);
    }

    #[test]
    fn what_was_not_taken_is_refused_and_never_guessed_about() {
        let (_, number) = known();
        assert!(outcome(address("127.0.0.1:4000"), "127.0.0.1:555", None).is_err(), "the listener itself");
        assert!(outcome(address("[::1]:4000"), "[::1]:555", None).is_err(), "the listener itself");
        assert!(outcome(address("10.0.0.2:80"), "192.0.2.7:555", None).is_err(), "never guarded");
        let unknown = outcome(steered(number + 1, 0), "127.0.0.1:555", None);
        assert_eq!(unknown, Err(format!("endpoint number {} is not known", number + 1)));
        assert!(outcome(steered(number, 0), "192.0.2.7:555", None).is_err(), "not a process of this host");
        let client = note(cheops_ebpf_common::NOTE_CLIENT, "[fd00::1]:80", 0);
        assert!(outcome(address("[::1]:4000"), "[::1]:555", client).is_err(), "another kind of note");
    }
}
