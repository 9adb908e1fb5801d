//! One peer's connection: who it is, then its streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::OptionFuture;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Method, Request, Response, StatusCode};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::error::ConnectionError;
use super::{Call, Host, Serve, ServerLimits, stranger};
use crate::metadata::record;
use crate::peer::cork::corked;
use crate::peer::counters::Count;
use crate::peer::envelope::Envelope;
use crate::peer::hello::{Asks, Hello};
use crate::peer::renew::{self, RENEW_PATH};
use crate::peer::trust::{IdentityError, PeerIdentity, Revocations, Security, Shown, Trust};
use crate::peer::{
    ASK_PATH, EXCHANGE_PATH, HEADER_LIST, HELLO_PATH, NOT_BELIEVED, NOTE_PATH, READ_BYTES, STREAM_WINDOW,
    connection_window, pulse,
};

/// Streams of a connection that are no exchanges: a peer that asks whether this agent lives must get its answer also
/// while as many exchanges are open as may be.
const PROBES: u32 = 8;
/// How long a peer that is refused may take to read why, and what is read of it meanwhile.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// Who is at the other end of one connection.
#[derive(Clone)]
struct Caller {
    /// `None` without TLS.
    identity: Option<PeerIdentity>,
    address: SocketAddr,
}

/// A peer's certificate, as long as its connection lives.
struct Member {
    shown: Shown,
    chain: Vec<CertificateDer<'static>>,
    revoked: Arc<Revocations>,
}

impl Member {
    /// Resolves when the peer isn't believed any more.
    async fn ends(&self, mut security: watch::Receiver<Arc<Security>>) {
        let believed = |security: &Security| match security {
            Security::Tls(trust) => trust.believes(&self.chain),
            Security::Insecure | Security::Unjoined => false,
        };
        tokio::select! {
            () = self.revoked.come(&self.shown) => {}
            _ = security.wait_for(|security| !believed(security)) => {}
        }
    }

    /// Resolves when its certificate has expired.
    async fn expires(&self) {
        let end = u64::try_from(self.shown.not_after).unwrap_or_default().saturating_mul(1000);
        sleep(Duration::from_millis(end.saturating_sub(record::now()))).await;
    }
}

/// One peer's connection, and what it is served with.
struct Talk<S> {
    host: Arc<Host>,
    caller: Caller,
    /// `None` without TLS.
    member: Option<Member>,
    serve: Arc<S>,
    stop: CancellationToken,
}

pub(super) async fn serve<S: Serve>(
    host: &Arc<Host>,
    tcp: TcpStream,
    address: SocketAddr,
    serve: Arc<S>,
    stop: CancellationToken,
) -> Result<(), ConnectionError> {
    set_options(&tcp, &host.limits).map_err(ConnectionError::Tls)?;
    let talk = |member: Option<Member>| {
        let identity = member.as_ref().map(|member| member.shown.identity.clone());
        Talk { host: host.clone(), caller: Caller { identity, address }, member, serve, stop }
    };
    let security = host.security.borrow().clone();
    match &*security {
        Security::Unjoined => Err(ConnectionError::NotJoined),
        Security::Insecure => talk(None).http2(tcp).await,
        Security::Tls(trust) => {
            let strangers = host.admits.get().is_some();
            let tls = shake(host, tcp, if strangers { &trust.open } else { &trust.server }).await?;
            if strangers && tls.get_ref().1.peer_certificates().is_none() {
                return Box::pin(stranger::serve(host, tls, address)).await;
            }
            let member = identify(tls.get_ref().1.peer_certificates(), &host.identity.federation, trust)?;
            Box::pin(talk(Some(member)).http2(tls)).await
        }
    }
}

type Tls = TlsStream<BufReader<TcpStream>>;

/// The handshake. Whoever is refused is left time to read why: a socket that is closed before everything that came was
/// read resets the connection, and with it what was just sent.
async fn shake(host: &Host, tcp: TcpStream, config: &Arc<ServerConfig>) -> Result<Tls, ConnectionError> {
    let accept = TlsAcceptor::from(config.clone()).accept(BufReader::with_capacity(READ_BYTES, tcp)).into_fallible();
    let (error, mut io) = match timeout(host.limits.handshake, accept).await.map_err(|_| ConnectionError::Slow)? {
        Ok(tls) => return Ok(tls),
        Err(failed) => failed,
    };
    // What becomes of it doesn't change why it ended.
    drop(timeout(LINGER, linger(&mut io)).await);
    Err(ConnectionError::Tls(error))
}

/// Says that nothing more comes, and reads until the other end says so, too.
async fn linger(io: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<()> {
    io.shutdown().await?;
    tokio::io::copy(&mut io.take(LINGER_BYTES), &mut tokio::io::sink()).await.map(drop)
}

fn identify(
    chain: Option<&[CertificateDer<'static>]>,
    federation: &str,
    trust: &Trust,
) -> Result<Member, ConnectionError> {
    let chain = chain.unwrap_or_default();
    let shown = Shown::of(chain.first().ok_or(IdentityError::Missing)?)?;
    match shown.identity.federation == federation {
        true => Ok(Member { shown, chain: chain.to_vec(), revoked: trust.revoked.clone() }),
        false => Err(ConnectionError::Federation(shown.identity.federation)),
    }
}

fn set_options(tcp: &TcpStream, limits: &ServerLimits) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(limits.keepalive))?;
    socket.set_tcp_user_timeout(Some(limits.user_timeout))
}

fn builder(exchanges: u32) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(exchanges))
        .max_concurrent_streams(exchanges.saturating_add(PROBES))
        .max_header_list_size(HEADER_LIST)
        // A peer whose clients all give up at once is no attacker; h2's own limit of 20 would end its whole link.
        .max_pending_accept_reset_streams(exchanges as usize)
        // The end of a request that comes after its answer is no offence either.
        .max_local_error_reset_streams(None)
        .max_concurrent_reset_streams(exchanges as usize);
    builder
}

impl<S: Serve> Talk<S> {
    async fn http2(self, io: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), ConnectionError> {
        let (io, cork) = corked(io);
        cork.during(self.streams(io)).await
    }

    async fn streams(&self, io: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), ConnectionError> {
        let Self { host, caller, member, serve, stop } = self;
        let handshake = builder(host.limits.exchanges).handshake::<_, Bytes>(io);
        let mut connection = timeout(host.limits.handshake, handshake).await.map_err(|_| ConnectionError::Slow)??;
        host.counters.add(Count::Connected);
        let mut pulse = Box::pin(pulse::beat(connection.ping_pong()));
        let member = member.as_ref();
        let mut ends = Box::pin(OptionFuture::from(member.map(|member| member.ends(host.security.subscribe()))));
        let mut expires = Box::pin(OptionFuture::from(member.map(Member::expires)));
        let mut streams = JoinSet::new();
        let mut stopping = false;
        loop {
            tokio::select! {
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.graceful_shutdown();
                }
                // What is open may end well; for more, the peer comes again with another certificate.
                Some(()) = &mut expires, if !stopping => {
                    stopping = true;
                    connection.graceful_shutdown();
                }
                Some(()) = &mut ends => {
                    streams.abort_all();
                    connection.abrupt_shutdown(NOT_BELIEVED);
                    // It is told why, if it listens.
                    drop(timeout(LINGER, std::future::poll_fn(|context| connection.poll_closed(context))).await);
                    return Err(ConnectionError::NoMember(caller.identity.clone().unwrap_or_else(|| host.identity.clone())));
                }
                reason = &mut pulse => return Err(ConnectionError::Silent(reason)),
                Some(_) = streams.join_next() => {}
                asked = connection.accept() => match asked {
                    None => return Ok(()),
                    Some(asked) => {
                        let (request, respond) = asked?;
                        streams.spawn(stream(host.clone(), caller.clone(), serve.clone(), request, respond));
                    }
                }
            }
        }
    }
}

async fn stream<S: Serve>(
    host: Arc<Host>,
    caller: Caller,
    serve: Arc<S>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let done = match (request.method(), request.uri().path()) {
        (&Method::GET, HELLO_PATH) => hello(&host, &caller, &request, &mut respond),
        (&Method::POST, RENEW_PATH) => renew::answer(&host.signer, caller.identity.as_ref(), request, respond).await,
        (&Method::POST, EXCHANGE_PATH | NOTE_PATH | ASK_PATH) => {
            return exchange(host, caller, serve, request, respond).await;
        }
        _ => status(&mut respond, StatusCode::NOT_FOUND),
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a peer did not wait for its answer");
    }
}

async fn exchange<S: Serve>(
    host: Arc<Host>,
    caller: Caller,
    serve: Arc<S>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let Ok(place) = host.exchanges.clone().try_acquire_owned() else {
        host.counters.add(Count::TooManyExchanges);
        // RFC 9113, 8.7: nothing was done with it, the peer may go elsewhere.
        return respond.send_reset(h2::Reason::REFUSED_STREAM);
    };
    let path = request.uri().path().to_owned();
    let (parts, incoming) = request.into_parts();
    let (from, envelope) = match authenticated(&host, &caller, Envelope::from_headers(&parts.headers)) {
        Ok(both) => both,
        Err(why) => {
            host.counters.add(Count::BadEnvelope);
            tracing::info!(from = %caller.address, why, "a peer's envelope is refused");
            if let Err(error) = status(&mut respond, StatusCode::BAD_REQUEST) {
                tracing::debug!(%error, "a peer did not wait for its answer");
            }
            return;
        }
    };
    let call = Call { from, address: caller.address, envelope, incoming, respond, place };
    match path.as_str() {
        NOTE_PATH => serve.note(call).await,
        ASK_PATH => serve.answer_ids(call).await,
        _ => {
            host.counters.add(Count::Exchanges);
            serve.serve(call).await;
        }
    }
}

/// The envelope, if it doesn't contradict the certificate: its last hop is the sender.
fn authenticated(
    host: &Host,
    caller: &Caller,
    envelope: Result<Envelope, crate::peer::envelope::EnvelopeError>,
) -> Result<(PeerIdentity, Envelope), String> {
    let envelope = envelope.map_err(|error| error.to_string())?;
    let sender = envelope.hops.last().ok_or("it names no sender")?;
    let said = PeerIdentity {
        federation: host.identity.federation.clone(),
        site: sender.site.clone(),
        host: sender.host.clone(),
    };
    if envelope.site != host.identity.site {
        return Err(format!("it is for {}, and this is {}", envelope.site, host.identity.site));
    }
    match &caller.identity {
        Some(known) if *known != said => Err(format!("it says that {said} sent it, and the certificate is of {known}")),
        _ => Ok((said, envelope)),
    }
}

fn hello(
    host: &Host,
    caller: &Caller,
    request: &Request<RecvStream>,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let asks = Asks::from_headers(request.headers());
    let told = host.liveness.told(caller.identity.as_ref(), &asks);
    let certificate = host.security.borrow().certificate();
    let hello = Hello::new(&host.identity, told, certificate, &asks);
    let body = serde_json::to_vec(&hello).unwrap_or_default();
    respond.send_response(Response::new(()), false)?.send_data(body.into(), true)
}

fn status(respond: &mut SendResponse<Bytes>, status: StatusCode) -> Result<(), h2::Error> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    respond.send_response(response, true).map(drop)
}
