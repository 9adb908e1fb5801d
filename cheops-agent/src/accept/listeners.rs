//! The sockets at which taken connections come in.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use socket2::Socket;
use tokio::net::{TcpListener, TcpStream};

/// Connections that may wait to be accepted, until the configuration's own number is set. The kernel cuts it down to
/// `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What the listeners are called while no agent has them.
pub const NAME_V4: &str = "listener-v4";
pub const NAME_V6: &str = "listener-v6";

/// Listeners that an earlier agent left.
#[derive(Debug, Default)]
pub struct Left {
    pub v4: Option<OwnedFd>,
    pub v6: Option<OwnedFd>,
}

/// One listener a family, on loopback addresses only: what comes from elsewhere comes through the kernel programs.
#[derive(Debug)]
pub struct Listeners {
    pub v4: TcpListener,
    /// None where the host has no IPv6.
    pub v6: Option<TcpListener>,
}

impl Listeners {
    /// Opens listeners at ports that the kernel chooses. To be called inside the runtime.
    ///
    /// # Errors
    /// When a port can't be had.
    pub fn open() -> io::Result<Self> {
        Self::open_with(Left::default())
    }

    /// Takes the listeners that an earlier agent left, else opens own ones. To be called inside the runtime.
    ///
    /// # Errors
    /// When a port can't be had.
    pub fn open_with(left: Left) -> io::Result<Self> {
        let v4 = left.v4.and_then(|left| usable(left, Ipv4Addr::LOCALHOST.into()));
        let v6 = left.v6.and_then(|left| usable(left, Ipv6Addr::LOCALHOST.into()));
        let v4 = v4.map_or_else(|| own(Ipv4Addr::LOCALHOST.into()), Ok)?;
        let v6 = match v6.map_or_else(|| own(Ipv6Addr::LOCALHOST.into()), Ok) {
            Ok(listener) => Some(tokio(listener)?),
            Err(error) if no_ipv6(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { v4: tokio(v4)?, v6 })
    }

    /// Both by their names in a store, to be kept when this agent ends: connections wait in them for the next one.
    ///
    /// # Errors
    /// Without free descriptors.
    pub fn to_keep(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let all = [(NAME_V4, Some(&self.v4)), (NAME_V6, self.v6.as_ref())];
        let all = all.into_iter().filter_map(|(name, listener)| Some((name, listener?)));
        all.map(|(name, listener)| Ok((name.to_owned(), listener.as_fd().try_clone_to_owned()?))).collect()
    }

    /// The next connection on either listener, with its other end's address.
    ///
    /// # Errors
    /// As `accept(2)`; errors of a single connection, and of a lack of file descriptors, come back here too.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.v6 {
            None => self.v4.accept().await,
            Some(v6) => tokio::select! {
                accepted = self.v4.accept() => accepted,
                accepted = v6.accept() => accepted,
            },
        }
    }

    /// Where they listen; connections there that no program took are refused.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.each().map(TcpListener::local_addr).collect()
    }

    /// Every listener.
    pub fn each(&self) -> impl Iterator<Item = &TcpListener> {
        [Some(&self.v4), self.v6.as_ref()].into_iter().flatten()
    }
}

/// The listener, if it is one at that address.
fn usable(left: OwnedFd, ip: IpAddr) -> Option<std::net::TcpListener> {
    let socket = Socket::from(left);
    let at = socket.local_addr().ok().and_then(|address| address.as_socket());
    let usable = socket.is_listener().unwrap_or(false) && at.is_some_and(|at| at.ip() == ip);
    if !usable {
        tracing::warn!(?at, "what was left as the listener at {ip} isn't one, and is opened anew");
    }
    usable.then(|| socket.into())
}

fn own(ip: IpAddr) -> io::Result<std::net::TcpListener> {
    let address = SocketAddr::new(ip, 0);
    let socket = Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn tokio(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    // A connection that was taken where it arrived is at the service's own port, as its listener's children are. Without
    // this option, which they inherit, the service could not listen there again as long as they are open.
    socket2::SockRef::from(&listener).set_reuse_address(true)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// What a kernel without IPv6, or with `disable_ipv6`, answers.
fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(code) if code == nix::errno::Errno::EAFNOSUPPORT as i32 || code == nix::errno::Errno::EADDRNOTAVAIL as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn own_listeners_are_on_loopback_and_accept() {
        let listeners = Listeners::open().expect("ports");
        for address in listeners.addresses().expect("bound") {
            assert!(address.ip().is_loopback());
            let client = TcpStream::connect(address).await.expect("accepted");
            let (_, from) = listeners.accept().await.expect("a connection");
            assert_eq!(from, client.local_addr().expect("connected"));
        }
    }

    #[tokio::test]
    async fn what_an_earlier_agent_left_is_used_with_what_waits_in_it() {
        let before = Listeners::open().expect("ports");
        let addresses = before.addresses().expect("bound");
        let mut kept = before.to_keep().expect("descriptors").into_iter();
        let (v4, v6) = (kept.next().map(|(_, listener)| listener), kept.next().map(|(_, listener)| listener));
        drop(before);
        let client = TcpStream::connect(addresses[0]).await.expect("it waits");
        let after = Listeners::open_with(Left { v4, v6 }).expect("ports");
        assert_eq!(after.addresses().expect("bound"), addresses);
        assert_eq!(after.accept().await.expect("a connection").1, client.local_addr().expect("connected"));
    }

    #[tokio::test]
    async fn what_is_no_listener_here_is_opened_anew() {
        let elsewhere = std::net::TcpListener::bind("127.0.0.2:0").expect("a port");
        let connection = std::net::UdpSocket::bind("[::1]:0").expect("a port");
        let left = Left { v4: Some(elsewhere.into()), v6: Some(connection.into()) };
        let listeners = Listeners::open_with(left).expect("ports");
        let ips: Vec<IpAddr> = listeners.addresses().expect("bound").iter().map(SocketAddr::ip).collect();
        assert_eq!(ips, [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]);
    }
}
