//! A host's door: a small process inside the host's namespace and cgroup that makes sockets there and passes them out.
//! Kernel programs see a socket's namespace and cgroup, and the cgroup of the process that connects; a thread of the
//! test could enter a namespace, but not a cgroup.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

#[derive(Serialize, Deserialize)]
enum Order {
    Connect { from: Option<SocketAddr>, to: SocketAddr, within: Duration },
    Listen { at: SocketAddr },
}

#[derive(Serialize, Deserialize)]
enum Reply {
    Done,
    Failed { errno: Option<i32>, kind: String },
}

/// The test's end of a door.
pub(super) struct Door {
    process: Child,
    orders: OwnedFd,
}

impl Door {
    /// Starts the door's process by `command`, which enters the host and then runs what is appended.
    pub(super) fn open(command: &mut Command) -> anyhow::Result<Self> {
        let (orders, theirs) = pair()?;
        let process = command.stdin(Stdio::from(theirs)).spawn().context("can't start the door's process")?;
        Ok(Self { process, orders })
    }

    pub(super) fn connect(
        &self,
        from: Option<SocketAddr>,
        to: SocketAddr,
        within: Duration,
    ) -> std::io::Result<TcpStream> {
        self.ask(&Order::Connect { from, to, within }).map(TcpStream::from)
    }

    pub(super) fn listen(&self, at: SocketAddr) -> std::io::Result<TcpListener> {
        self.ask(&Order::Listen { at }).map(TcpListener::from)
    }

    fn ask(&self, order: &Order) -> std::io::Result<OwnedFd> {
        let (answer, theirs) = pair()?;
        send(&self.orders, &serde_json::to_vec(order)?, Some(theirs))?;
        let (text, socket) = receive(&answer)?;
        match (serde_json::from_slice(&text), socket) {
            (Ok(Reply::Done), Some(socket)) => Ok(socket),
            (Ok(Reply::Failed { errno: Some(errno), .. }), _) => Err(std::io::Error::from_raw_os_error(errno)),
            (Ok(Reply::Failed { kind, .. }), _) if kind == "TimedOut" => Err(std::io::ErrorKind::TimedOut.into()),
            (Ok(Reply::Failed { kind, .. }), _) => Err(std::io::Error::other(kind)),
            _ => Err(std::io::Error::other("the host's door is gone")),
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// The door's process: serves orders that come on standard input until the test's end is closed.
///
/// # Errors
/// When standard input is not a door's.
pub fn serve() -> anyhow::Result<()> {
    let orders = std::io::stdin();
    loop {
        let (text, answer) = receive(orders.as_fd()).context("standard input is not a door's")?;
        if text.is_empty() {
            return Ok(());
        }
        let Some(answer) = answer else { bail!("an order came without a place for its answer") };
        let order: Order = serde_json::from_slice(&text)?;
        std::thread::spawn(move || {
            let (reply, socket) = match obey(&order) {
                Ok(socket) => (Reply::Done, Some(socket)),
                Err(error) => {
                    (Reply::Failed { errno: error.raw_os_error(), kind: format!("{:?}", error.kind()) }, None)
                }
            };
            if let Ok(text) = serde_json::to_vec(&reply) {
                _ = send(&answer, &text, socket);
            }
        });
    }
}

fn obey(order: &Order) -> std::io::Result<OwnedFd> {
    match *order {
        Order::Connect { from, to, within } => {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
            if let Some(from) = from {
                socket.set_reuse_address(true)?;
                socket.bind(&from.into())?;
            }
            socket.connect_timeout(&to.into(), within)?;
            Ok(socket.into())
        }
        Order::Listen { at } => {
            let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            if at.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.bind(&at.into())?;
            socket.listen(1024)?;
            Ok(socket.into())
        }
    }
}

fn pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

fn send(to: &OwnedFd, text: &[u8], passed: Option<OwnedFd>) -> std::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let passed: Vec<_> = passed.iter().map(AsFd::as_fd).collect();
    if !passed.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&passed));
    }
    rustix::net::sendmsg(to, &[IoSlice::new(text)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// A message and the descriptor that came with it; an empty one when the other end is closed.
fn receive(from: impl AsFd) -> std::io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut text = vec![0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = loop {
        match rustix::net::recvmsg(&from, &mut [IoSliceMut::new(&mut text)], &mut ancillary, flags) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    text.truncate(received.bytes);
    let passed = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
        _ => None,
    });
    Ok((text, passed))
}
