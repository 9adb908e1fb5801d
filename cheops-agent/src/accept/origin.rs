//! The seam to the kernel programs: where a taken connection was going, and who opened it.

use std::io;
use std::os::fd::BorrowedFd;

use tokio::net::TcpStream;

use crate::address::{ClientAddr, OrigDst};

/// The number of an `exec` session; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u16);

/// What is known of a taken connection before its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Where the client connected to.
    pub orig: OrigDst,
    /// The client as the service shall see it.
    pub client: ClientAddr,
    /// The `exec` session whose process opened the connection.
    pub session: Option<SessionId>,
}

/// Why a connection's original destination is not known. Such a connection is reset and counted, never guessed about.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    #[error("the connection from {0} was not taken by the kernel programs")]
    NotTaken(std::net::SocketAddr),
    #[error("endpoint number {0} is not known")]
    UnknownEndpoint(u32),
    /// The agent's own self-probe: close it quietly, it is neither served nor counted as refused.
    #[error("the connection is the agent's own probe")]
    Probe,
    #[error("can't read the socket's addresses: {0}")]
    Socket(#[from] io::Error),
}

/// Original destinations and true clients, both ways. Implemented by the kernel room, and by tests without a kernel.
pub trait Origins: Send + Sync + 'static {
    /// What is known of an accepted connection.
    fn taken(&self, connection: &TcpStream) -> Result<Taken, OriginError>;

    /// Before `socket` connects to a service of this host: lets the service's `accept` and `getpeername` say `client`.
    /// An error refuses the connection (a full map must not show the service a stranger's address).
    fn announce(&self, socket: BorrowedFd<'_>, client: ClientAddr) -> io::Result<()>;
}
