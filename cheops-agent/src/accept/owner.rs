//! Whose connection it is: the user that owns the socket at its other end, when that end is a process of this host.
//!
//! Asks the kernel by `NETLINK_SOCK_DIAG` (sock_diag(7)) for the one socket with these addresses; some microseconds.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};
use tokio::net::TcpStream;

/// `SOCK_DIAG_BY_FAMILY`, of a request and of its answer.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `TCP_TIME_WAIT`: such a socket has no owner any more, but says 0.
const TIME_WAIT: u8 = 6;
/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
const REQUEST_BYTES: u32 = 16 + 56;
/// Where the answer has the socket's state and owner: `struct inet_diag_msg` behind `struct nlmsghdr`.
const STATE_AT: usize = 16 + 1;
const OWNER_AT: usize = 16 + 4 + 48 + 12;

/// The user whose process holds the other end; nothing when it is of another host or network namespace, or gone.
///
/// # Errors
/// When the kernel can't be asked.
pub fn uid(connection: &TcpStream) -> io::Result<Option<u32>> {
    ask(connection.peer_addr()?, connection.local_addr()?)
}

/// The owner of the TCP socket with these addresses.
fn ask(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<u32>> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let netlink = socket(AddressFamily::Netlink, SockType::Datagram, flags, SockProtocol::NetlinkSockDiag)?;
    let kernel = NetlinkAddr::new(0, 0);
    sendto(netlink.as_raw_fd(), &request(local, remote), &kernel, MsgFlags::empty())?;
    let mut answer = [0; 1024];
    // The kernel answers before `sendto` returns.
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    Ok(owner(answer.get(..length).unwrap_or_default()))
}

fn request(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let family = if local.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let mut bytes = Vec::new();
    bytes.extend(REQUEST_BYTES.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // number and port of the message: there is only one
    bytes.extend([family as u8, 6, 0, 0]); // IPPROTO_TCP, no extensions
    bytes.extend(u32::MAX.to_ne_bytes()); // any state
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(remote.port().to_be_bytes());
    bytes.extend(octets(local.ip()));
    bytes.extend(octets(remote.ip()));
    bytes.extend(0_u32.to_ne_bytes()); // any interface
    bytes.extend([0xff; 8]); // INET_DIAG_NOCOOKIE
    bytes
}

/// Sixteen octets, of which an IPv4 address takes the first four.
fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V6(ip) => ip.octets(),
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
    }
}

/// The owner in an answer; nothing in an error, such as ENOENT.
fn owner(answer: &[u8]) -> Option<u32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let state = *answer.get(STATE_AT)?;
    let owner = u32::from_ne_bytes(answer.get(OWNER_AT..OWNER_AT + 4)?.try_into().ok()?);
    (kind == BY_FAMILY && state != TIME_WAIT).then_some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_other_ends_owner_is_found_in_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
            let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("accepted");
            let (accepted, _) = listener.accept().await.expect("a connection");
            let me = nix::unistd::Uid::current().as_raw();
            assert_eq!(uid(&accepted).expect("an answer"), Some(me), "{address}");
            // Another user's is told apart, where this one may become another.
            if me == 0 {
                nix::unistd::fchown(&client, Some(4321.into()), None).expect("a socket's owner can be changed");
                assert_eq!(uid(&accepted).expect("an answer"), Some(4321), "{address}");
            }
        }
    }

    #[test]
    fn a_socket_that_isnt_there_has_no_owner() {
        let nowhere = |port| SocketAddr::from(([192, 0, 2, 1], port));
        assert_eq!(ask(nowhere(1), nowhere(2)).expect("an answer"), None);
    }
}
