//! The sockets at which taken connections come in.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpStream};

/// Connections that may wait to be accepted, until the configuration's own number is set. The kernel cuts it down to
/// `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// One listener a family, on loopback addresses only: what comes from elsewhere comes through the kernel programs.
#[derive(Debug)]
pub struct Listeners {
    pub v4: TcpListener,
    /// None where the host has no IPv6.
    pub v6: Option<TcpListener>,
}

impl Listeners {
    /// Takes the listeners that systemd passed, else opens own ones at ports that the kernel chooses. To be called
    /// inside the runtime, once.
    ///
    /// # Errors
    /// When a port can't be had, or a passed socket isn't a TCP listener at 127.0.0.1 or [::1].
    pub fn open() -> io::Result<Self> {
        let mut passed = ListenFd::from_env();
        let (mut v4, mut v6) = (None, None);
        for index in 0..passed.len() {
            let Some(listener) = passed.take_tcp_listener(index)? else { continue };
            let address = listener.local_addr()?;
            match address.ip() {
                ip if ip == Ipv4Addr::LOCALHOST => v4 = Some(listener),
                ip if ip == Ipv6Addr::LOCALHOST => v6 = Some(listener),
                _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, not_loopback(address))),
            }
        }
        let v4 = v4.map_or_else(|| own(Ipv4Addr::LOCALHOST.into()), Ok)?;
        let v6 = match v6.map_or_else(|| own(Ipv6Addr::LOCALHOST.into()), Ok) {
            Ok(listener) => Some(tokio(listener)?),
            Err(error) if no_ipv6(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { v4: tokio(v4)?, v6 })
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

fn own(ip: std::net::IpAddr) -> io::Result<std::net::TcpListener> {
    let address = SocketAddr::new(ip, 0);
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn tokio(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// What a kernel without IPv6, or with `disable_ipv6`, answers.
fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(code) if code == nix::errno::Errno::EAFNOSUPPORT as i32 || code == nix::errno::Errno::EADDRNOTAVAIL as i32)
}

fn not_loopback(address: SocketAddr) -> String {
    format!("systemd passed a listener at {address}; cheops-agent.socket must listen at 127.0.0.1 and [::1]")
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
}
