//! Making a link: TCP, TLS, HTTP/2, and one PING there and back, so that a peer that refuses this agent's certificate
//! (TLS 1.3 tells so only after the handshake) is known before the first request is handed over.

use std::io;
use std::pin::Pin;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, PingPong};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, OtherError};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ClientLimits;
use super::last_word::LastWord;
use crate::names::SiteName;
use crate::peer::cork::corked;
use crate::peer::trust::{Security, Shown, client_config};
use crate::peer::{HEADER_LIST, NOT_BELIEVED, READ_BYTES, STREAM_WINDOW, connection_window};

/// A link that was made.
pub(super) struct Dialled {
    pub(super) sender: SendRequest<Bytes>,
    /// Must be polled for anything to move.
    pub(super) connection: Pin<Box<dyn Future<Output = Result<(), h2::Error>> + Send>>,
    pub(super) ping_pong: Option<PingPong>,
    /// The agent's certificate; none without TLS.
    pub(super) shown: Option<Shown>,
}

/// Why no link could be made. Nothing of a request was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("not-joined: this host belongs to no federation yet; see cheops site init and cheops site join")]
    NotJoined,
    #[error("{0}")]
    Connect(io::Error),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("it doesn't speak HTTP/2")]
    NotHttp2,
    #[error("HTTP/2: {0}")]
    Http2(h2::Error),
    #[error("this host is not believed any more: its certificate was revoked, or its authority was replaced")]
    NotBelieved,
    #[error("TLS: {0}")]
    Config(#[from] rustls::Error),
}

/// What a host is told that is not believed any more.
const REVOKED: &str = "this host's certificate was revoked: it was removed from the federation, and may join again";

trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

pub(super) async fn dial(
    site: &SiteName,
    address: &str,
    security: &Security,
    limits: &ClientLimits,
) -> Result<Dialled, DialError> {
    let tcp = TcpStream::connect(address).await.map_err(DialError::Connect)?;
    set_options(&tcp, limits).map_err(DialError::Connect)?;
    let mut shown = None;
    let transport: Box<dyn Transport> = match security {
        Security::Unjoined => return Err(DialError::NotJoined),
        Security::Insecure => Box::new(tcp),
        Security::Tls(trust) => {
            let name = ServerName::IpAddress(tcp.peer_addr().map_err(DialError::Connect)?.ip().into());
            let connector = TlsConnector::from(client_config(trust, site)?);
            let tls = connector
                .connect(name, BufReader::with_capacity(READ_BYTES, tcp))
                .await
                .map_err(|error| DialError::Tls(tls_reason(&error)))?;
            if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Err(DialError::NotHttp2);
            }
            let certificate = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
            shown = certificate.and_then(|certificate| Shown::of(certificate).ok());
            Box::new(LastWord::new(tls))
        }
    };
    Ok(Dialled { shown, ..http2(transport, limits).await? })
}

async fn http2(transport: Box<dyn Transport>, limits: &ClientLimits) -> Result<Dialled, DialError> {
    let (transport, cork) = corked(transport);
    let handshake = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(limits.exchanges))
        .max_header_list_size(HEADER_LIST)
        .enable_push(false)
        // The reader of an answer leaves when HTTP says that it is whole; what then still comes, the trailers at least,
        // is counted as an offence by h2, whose own limits are for strangers and would end a busy link.
        .max_local_error_reset_streams(None)
        .max_concurrent_reset_streams(limits.exchanges as usize)
        .handshake::<_, Bytes>(transport);
    let (sender, mut connection) = cork.during(handshake).await.map_err(http2_reason)?;
    let mut ping_pong = connection.ping_pong();
    let mut connection: Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(async move { cork.during(connection).await });
    if let Some(ping_pong) = &mut ping_pong {
        tokio::select! {
            // Its end says why, and that no PING comes back doesn't.
            biased;
            ended = &mut connection => return Err(ended.err().map_or(DialError::NotHttp2, http2_reason)),
            pong = ping_pong.ping(Ping::opaque()) => { pong.map_err(http2_reason)?; }
        }
    }
    Ok(Dialled { sender, connection, ping_pong, shown: None })
}

fn set_options(tcp: &TcpStream, limits: &ClientLimits) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(limits.keepalive))?;
    socket.set_tcp_user_timeout(Some(limits.user_timeout))
}

/// A TLS alert that comes after the handshake is found inside an HTTP/2 error.
fn http2_reason(error: h2::Error) -> DialError {
    match error.get_io() {
        Some(inner) => DialError::Tls(tls_reason(inner)),
        None if error.is_remote() && error.is_go_away() && error.reason() == Some(NOT_BELIEVED) => {
            DialError::NotBelieved
        }
        None => DialError::Http2(error),
    }
}

/// Why a link that was there ended, for people.
pub(super) fn end_reason(error: h2::Error) -> String {
    match error.get_io() {
        // What isn't an alert is told as it is.
        Some(inner) if inner.kind() == io::ErrorKind::InvalidData => http2_reason(error).to_string(),
        Some(_) => error.to_string(),
        None => http2_reason(error).to_string(),
    }
}

/// What an alert means to the host that is told; HTTP/2 keeps an error's text alone.
fn told(error: &io::Error) -> Option<&'static str> {
    let alerts = [
        (AlertDescription::CertificateRevoked, REVOKED),
        (AlertDescription::CertificateExpired, "this host's certificate has expired"),
    ];
    let text = error.to_string();
    let is = |alert: AlertDescription| text == rustls::Error::AlertReceived(alert).to_string();
    alerts.into_iter().find_map(|(alert, meaning)| is(alert).then_some(meaning))
}

/// rustls prints errors of a verifier of our own by their structure; people want their words.
fn tls_reason(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(ours)))) => ours.to_string(),
        Some(rustls::Error::InvalidCertificate(CertificateError::Revoked)) => "its certificate was revoked".to_owned(),
        _ => told(error).map_or_else(|| error.to_string(), str::to_owned),
    }
}
