//! What an accepted socket tells: where its connection was going, who opened it, under which `exec` session.

use std::io;
use std::net::{IpAddr, SocketAddr};

use cheops_ebpf_common::{Loopback, NOTE_TAKEN, Note, is_steered};

use super::guarded::Guarded;
use super::{octets, source};
use crate::accept::{OriginError, SessionId, Taken};
use crate::address::{ClientAddr, OrigDst};

/// Reads a taken connection's addresses. `note` is what the programs noted of its socket, if anything.
///
/// # Errors
/// When it was not taken, or opened by another host to an address that only this one's processes may be sent to.
pub fn taken(guarded: &Guarded, local: SocketAddr, peer: SocketAddr, note: Option<Note>) -> Result<Taken, OriginError> {
    if let Some(note) = note.filter(|note| note.kind == NOTE_TAKEN) {
        return left(guarded, octets::address(note.address, note.port), peer, note.session);
    }
    if let IpAddr::V4(ip) = local.ip()
        && is_steered(ip.into())
    {
        let steered = Loopback::decode(ip.into(), local.port()).ok_or(OriginError::NotTaken(peer))?;
        let orig = guarded.address(steered.number).ok_or(OriginError::UnknownEndpoint(steered.number))?;
        return left(guarded, orig, peer, steered.session);
    }
    // It arrived: the socket has both ends' own addresses. One that was opened to the listener itself has not.
    if !guarded.knows(local) {
        return Err(OriginError::NotTaken(peer));
    }
    Ok(Taken { orig: OrigDst::new(local), client: ClientAddr::new(peer), session: None })
}

/// A connection of this host's process. Its source is the one that it would have had on its own way, unless it chose one.
fn left(guarded: &Guarded, orig: SocketAddr, peer: SocketAddr, session: u16) -> Result<Taken, OriginError> {
    let source = match peer.ip() {
        ip if ip.is_loopback() => guarded.source(orig).unwrap_or(ip),
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
