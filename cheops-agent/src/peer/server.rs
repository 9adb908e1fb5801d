//! The answering end: lets peers in by their certificates and hands each exchange to [`Serve`].

mod connection;
mod error;
mod stranger;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::PeerIdentity;
use super::counters::{Count, Counters};
use super::envelope::{Envelope, refusal_trailers};
use super::error::{Refusal, io_error};
use super::join::{Admit, Admits};
use super::liveness::Liveness;
use super::renew::{Signer, Signs};
use super::stream::ServerStream;
use super::trust::Security;
use crate::http::Code;

/// Connections that peers may have open in all: agents of sites, each with one or a few.
const MAX_CONNECTIONS: usize = 1024;
/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Limits and times of the answering end.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// TLS and HTTP/2 handshakes.
    pub handshake: Duration,
    /// Exchanges that may be open in all.
    pub exchanges: u32,
    /// TCP keepalive's idle time, and `TCP_USER_TIMEOUT`.
    pub keepalive: Duration,
    pub user_timeout: Duration,
}

/// What is done with a peer's exchange. Implemented by the room that serves requests, and by tests.
pub trait Serve: Send + Sync + 'static {
    /// Serves one exchange. When the peer gives it up, [`ServerStream::cancelled`] resolves; when the link is gone,
    /// the future is dropped.
    fn serve(&self, call: Call) -> impl Future<Output = ()> + Send;

    /// Notes a request that another agent of the site serves: accepts, says a byte, and knows it until the stream ends.
    fn note(&self, call: Call) -> impl Future<Output = ()> + Send;

    /// Tells another agent of the site what is known of the envelope's ids. Who serves no requests knows none.
    fn answer_ids(&self, call: Call) -> impl Future<Output = ()> + Send {
        async move {
            if let Err(error) = call.refuse(&Refusal::not_sent(Code::NotExported, "no ids are known here")) {
                tracing::debug!(%error, "whoever asked for ids did not wait for the answer");
            }
        }
    }
}

/// The server's part that its connections share.
pub(super) struct Host {
    pub(super) identity: PeerIdentity,
    pub(super) security: watch::Sender<Arc<Security>>,
    pub(super) limits: ServerLimits,
    pub(super) counters: Arc<Counters>,
    pub(super) exchanges: Arc<Semaphore>,
    /// What peers are told that ask who this agent is.
    pub(super) liveness: Arc<Liveness>,
    /// Who signs certificates for hosts that have one.
    pub(super) signer: Signer,
    /// Who lets in hosts without a certificate.
    pub(super) admits: Admits,
    /// Places for these.
    pub(super) strangers: Semaphore,
}

/// A listener for peers.
pub struct Server {
    listener: TcpListener,
    host: Arc<Host>,
}

impl Server {
    /// Listens at `address`.
    pub async fn bind(
        address: SocketAddr,
        identity: PeerIdentity,
        security: Security,
        limits: ServerLimits,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        Ok(Self::on(TcpListener::bind(address).await?, identity, security, limits, counters))
    }

    /// Uses a listener that was made elsewhere, by an earlier agent for instance.
    pub fn on(
        listener: TcpListener,
        identity: PeerIdentity,
        security: Security,
        limits: ServerLimits,
        counters: Arc<Counters>,
    ) -> Self {
        let exchanges = Arc::new(Semaphore::new(limits.exchanges as usize));
        let security = watch::Sender::new(Arc::new(security));
        Self {
            listener,
            host: Arc::new(Host {
                identity,
                security,
                limits,
                counters,
                exchanges,
                liveness: Liveness::new(),
                signer: Signer::new(),
                admits: Admits::new(),
                strangers: Semaphore::new(stranger::MOST),
            }),
        }
    }

    /// Tells peers what this board knows. To be called before it runs.
    #[must_use]
    pub fn telling(mut self, liveness: Arc<Liveness>) -> Self {
        if let Some(host) = Arc::get_mut(&mut self.host) {
            host.liveness = liveness;
        }
        self
    }

    /// Has hosts given another certificate by this one from now on.
    pub fn signing(&self, signer: Arc<dyn Signs>) {
        // Nobody sets it twice.
        let _first = self.host.signer.set(signer);
    }

    /// The listener, to be kept when this agent ends.
    ///
    /// # Errors
    /// Without free descriptors.
    pub fn to_keep(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// From now on hosts without a certificate may ask to be let in.
    pub fn admit(&self, admits: Arc<dyn Admit>) {
        // Once is enough: who admits is the same as long as the agent lives.
        drop(self.host.admits.set(admits));
    }

    /// Uses other certificates from the next connection on, and ends those of peers that are not believed any more.
    pub fn replace_security(&self, security: Security) {
        self.host.security.send_replace(Arc::new(security));
    }

    /// Serves until `stop`; then takes no more connections or exchanges, and returns when those that are open have
    /// ended. Dropping the future ends them at once.
    pub async fn run<S: Serve>(&self, serve: Arc<S>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((tcp, from)) => match places.clone().try_acquire_owned() {
                        Ok(place) => {
                            let (host, serve, stop) = (self.host.clone(), serve.clone(), stop.clone());
                            connections.spawn(connection(host, tcp, from, serve, stop, place));
                        }
                        Err(_) => self.host.counters.add(Count::TooManyConnections),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "can't accept a peer's connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        while connections.join_next().await.is_some() {}
    }
}

async fn connection<S: Serve>(
    host: Arc<Host>,
    tcp: TcpStream,
    from: SocketAddr,
    serve: Arc<S>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
) {
    if let Err(error) = connection::serve(&host, tcp, from, serve, stop).await {
        host.counters.add(error.count());
        tracing::info!(%from, %error, "a peer's connection ended badly");
    }
}

/// An exchange that a peer asks for, before it is taken on.
pub struct Call {
    /// The peer, as its certificate says; without TLS, as its envelope says.
    pub from: PeerIdentity,
    pub address: SocketAddr,
    pub envelope: Envelope,
    pub(super) incoming: RecvStream,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) place: OwnedSemaphorePermit,
}

/// Counts as an open exchange as long as it lives.
pub struct Place(#[expect(dead_code, reason = "it is counted, not read")] OwnedSemaphorePermit);

impl Call {
    /// Takes the exchange on: from here on the peer may send the request. Call it when the service is dialled, since
    /// this is what the peer waits for before it lets go of another site.
    pub fn accept(mut self) -> io::Result<(ServerStream, Place)> {
        let send = self.respond.send_response(http::Response::new(()), false).map_err(io_error)?;
        Ok((ServerStream::new(self.incoming, send), Place(self.place)))
    }

    /// Refuses it, with a reason.
    pub fn refuse(mut self, refusal: &Refusal) -> io::Result<()> {
        let mut send = self.respond.send_response(http::Response::new(()), false).map_err(io_error)?;
        send.send_trailers(refusal_trailers(refusal)).map_err(io_error)
    }
}
