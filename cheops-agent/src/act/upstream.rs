//! The way to a service: dialled once for each client connection.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

use crate::accept::Origins;
use crate::address::{ClientAddr, is_own};
use crate::config::Timeouts;
use crate::http::{Code, Problem};
use crate::observe::Limit;

/// Why a service could not be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The agent itself listens there.
    #[error("{0} is an address of the agent itself")]
    Loop(SocketAddr),
    /// The service could not be told who the client is.
    #[error("the client's address can't be announced: {0}")]
    Announce(io::Error),
    #[error("{to}: {error}")]
    Io { to: SocketAddr, error: io::Error },
    #[error("{to} did not accept within {} s", .within.as_secs_f64())]
    Timeout { to: SocketAddr, within: Duration },
    /// Too many wait already.
    #[error("{0} has not accepted the connections that wait for it")]
    Pending(SocketAddr),
}

impl DialError {
    /// The limit that was reached.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::Timeout { .. } => Some(Limit::Connect),
            Self::Pending(_) => Some(Limit::Pending),
            Self::Io { error, .. } if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                Some(Limit::Descriptors)
            }
            Self::Loop(_) | Self::Announce(_) | Self::Io { .. } => None,
        }
    }

    /// What a client is told whose service can't be reached.
    pub fn problem(&self) -> Problem {
        match (self, self.limit()) {
            (Self::Loop(_), _) => Problem::new(Code::Loop, self.to_string()),
            (_, Some(Limit::Connect)) => Problem::at_limit(Code::ServiceUnreachable, self.to_string(), Limit::Connect),
            (_, Some(limit)) => Problem::at_limit(Code::TooManyConnections, self.to_string(), limit),
            (_, None) => Problem::new(Code::ServiceUnreachable, self.to_string()),
        }
    }
}

/// How services are dialled.
#[derive(Clone, Copy, Debug)]
pub struct Dialling {
    /// `SO_MARK`, by which the kernel programs leave the agent's own connections alone. Setting it needs CAP_NET_ADMIN.
    pub mark: Option<u32>,
    pub connect: Duration,
    pub watch: Watch,
}

/// Probes that an end may leave unanswered, and the time between two of them.
const PROBES: u32 = 8;
const PROBES_APART: Duration = Duration::from_secs(15);

/// What every connection of the data path gets: small messages at once, and a dead other end noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// How long nothing comes before the other end is asked (`TCP_KEEPIDLE`).
    pub keepalive: Duration,
    /// How long what was sent may stay unacknowledged (`TCP_USER_TIMEOUT`); zero leaves it to the kernel. Any other time
    /// also ends a reader that pauses for longer: the kernel counts a closed window, too.
    pub user_timeout: Duration,
}

impl Watch {
    pub fn new(timeouts: &Timeouts) -> Self {
        Self { keepalive: timeouts.keepalive, user_timeout: timeouts.user_timeout }
    }

    /// Sets it. What a listener has, the connections that come in there later have too.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn over(self, socket: &SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(true)?;
        // SO_KEEPALIVE as well.
        let probes = TcpKeepalive::new().with_time(self.keepalive).with_interval(PROBES_APART).with_retries(PROBES);
        socket.set_tcp_keepalive(&probes)?;
        socket.set_tcp_user_timeout(Some(self.user_timeout))
    }
}

impl Dialling {
    pub fn new(mark: Option<u32>, timeouts: &Timeouts) -> Self {
        Self { mark, connect: timeouts.connect, watch: Watch::new(timeouts) }
    }
}

/// Connects to `to`, and lets the service there see `client` at the other end. `own` are the addresses on which this
/// agent listens.
///
/// # Errors
/// When nobody accepts in time, or the connection would come back to the agent.
pub async fn dial(
    origins: &dyn Origins,
    to: SocketAddr,
    client: ClientAddr,
    own: &[SocketAddr],
    dialling: Dialling,
) -> Result<TcpStream, DialError> {
    if is_own(to, own) {
        return Err(DialError::Loop(to));
    }
    let failed = |error| DialError::Io { to, error };
    let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), None).map_err(failed)?;
    if let Some(mark) = dialling.mark {
        socket.set_mark(mark).map_err(failed)?;
    }
    dialling.watch.over(&SockRef::from(&socket)).map_err(failed)?;
    origins.announce(socket.as_fd(), client).map_err(DialError::Announce)?;
    match tokio::time::timeout(dialling.connect, connect(socket, to)).await {
        Ok(connected) => connected.map_err(failed),
        Err(_) => Err(DialError::Timeout { to, within: dialling.connect }),
    }
}

/// Connects a socket that doesn't block. A service of the same host has accepted, or refused, before the kernel returns:
/// then nothing is waited for.
async fn connect(socket: Socket, to: SocketAddr) -> io::Result<TcpStream> {
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    let known = outcome(&socket);
    let stream = TcpStream::from_std(socket.into())?;
    if known == Some(PollFlags::POLLOUT) {
        return Ok(stream);
    }
    stream.writable().await?;
    stream.take_error()?.map_or(Ok(stream), Err)
}

/// What there is to know of a connection that is being opened; nothing while it is.
fn outcome(socket: &Socket) -> Option<PollFlags> {
    let mut asked = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    poll(&mut asked, PollTimeout::ZERO).ok()?;
    asked.iter().find_map(PollFd::revents).filter(|found| !found.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::fakes::Direct;

    const DIALLING: Dialling = Dialling {
        mark: None,
        connect: Duration::from_millis(200),
        watch: Watch { keepalive: Duration::from_secs(61), user_timeout: Duration::from_secs(17) },
    };

    #[tokio::test]
    async fn options_are_on_the_connected_socket() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = listener.local_addr().expect("bound");
        let client = ClientAddr::new("10.0.0.1:5".parse().expect("an address"));
        let origins = Direct::default();
        let stream = dial(&origins, to, client, &[], DIALLING).await.expect("accepted");
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().expect("read"));
        assert!(socket.keepalive().expect("read"));
        assert_eq!(socket.tcp_keepalive_time().expect("read"), DIALLING.watch.keepalive);
        assert_eq!(socket.tcp_user_timeout().expect("read"), Some(DIALLING.watch.user_timeout));
        assert_eq!(origins.announced(), [client]);
    }

    #[tokio::test]
    async fn refusals_and_own_addresses_are_told_apart() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("bound");
        let client = ClientAddr::new(to);
        let own = [SocketAddr::from(([0, 0, 0, 0], to.port()))];
        let looped = dial(&Direct::default(), to, client, &own, DIALLING).await;
        assert!(matches!(looped, Err(DialError::Loop(_))));
        drop(listener);
        let refused = dial(&Direct::default(), to, client, &[], DIALLING).await;
        assert!(matches!(refused, Err(DialError::Io { .. })));
        let unannounced = dial(&Direct::full(), to, client, &[], DIALLING).await;
        assert!(matches!(unannounced, Err(DialError::Announce(_))));
    }

    #[tokio::test]
    async fn a_service_that_does_not_accept_at_once_is_waited_for() {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        listener.listen(0).expect("bound");
        let to = listener.local_addr().ok().and_then(|address| address.as_socket()).expect("bound");
        let origins = Direct::default();
        let patient = Dialling { connect: Duration::from_secs(60), ..DIALLING };
        let mut accepted = Vec::new();
        // Until there is no room.
        let dialled = loop {
            let mut dialled = Box::pin(dial(&origins, to, ClientAddr::new(to), &[], patient));
            match futures_util::poll!(&mut dialled) {
                std::task::Poll::Ready(stream) => accepted.push(stream.expect("accepted")),
                std::task::Poll::Pending => break dialled,
            }
        };
        for _ in &accepted {
            listener.accept().expect("it waits");
        }
        dialled.await.expect("accepted at last");
    }
}
