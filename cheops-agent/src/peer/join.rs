//! How a host without a certificate asks to be let in: one `POST` over TLS in which it shows no certificate, and the
//! other's authority is known by its fingerprint alone. What is asked and answered is the business of others.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http::{HeaderMap, Method, StatusCode};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, OtherError};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::client::request;
use super::trust::pinned_config;

/// Where a host asks to be let in.
pub(super) const JOIN_PATH: &str = "/cheops/v1/join";
/// The longest question, and the longest answer.
pub const JOIN_BYTES: usize = 64 * 1024;

/// Whom to ask.
#[derive(Clone, Debug)]
pub struct Wicket<'a> {
    /// `host:port`.
    pub address: &'a str,
    pub federation: &'a str,
    /// SHA-256 of the authority's certificate, in hexadecimal.
    pub fingerprint: &'a str,
    /// For each of: connecting, and the answer.
    pub patience: Duration,
}

/// What was answered.
#[derive(Debug)]
pub struct Answered {
    pub status: StatusCode,
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WicketError {
    #[error("can't connect: {0}")]
    Connect(std::io::Error),
    #[error("nothing is heard of it for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("TLS: {0}")]
    Tls(String),
    #[error(
        "its authority has the fingerprint {found}, and {wanted} is expected: it is another federation's, or somebody in between"
    )]
    Stranger { found: String, wanted: String },
    #[error("HTTP/2: {0}")]
    Http2(#[from] h2::Error),
    #[error("its answer is too long")]
    TooLong,
}

impl WicketError {
    /// Whether the question may have come there.
    pub fn may_have_asked(&self) -> bool {
        matches!(self, Self::Http2(_) | Self::TooLong | Self::Silent(_))
    }
}

/// The other's authority isn't the one that is expected.
#[derive(Debug, thiserror::Error)]
#[error("its authority has the fingerprint {found}, and {wanted} is expected")]
pub(super) struct Unknown {
    pub(super) found: String,
    pub(super) wanted: String,
}

/// Asks. Nothing of `question` is sent before the other has proven whose agent it is.
///
/// # Errors
/// When it can't be reached, is another's, or gives no answer.
pub async fn ask(wicket: &Wicket<'_>, question: Bytes) -> Result<Answered, WicketError> {
    let silent = |_| WicketError::Silent(wicket.patience);
    let tcp = timeout(wicket.patience, TcpStream::connect(wicket.address)).await.map_err(silent)?;
    let tcp = tcp.map_err(WicketError::Connect)?;
    let name = ServerName::IpAddress(tcp.peer_addr().map_err(WicketError::Connect)?.ip().into());
    let config = pinned_config(wicket.federation, wicket.fingerprint).map_err(|e| WicketError::Tls(e.to_string()))?;
    let tls = timeout(wicket.patience, TlsConnector::from(config).connect(name, tcp)).await.map_err(silent)?;
    let tls = tls.map_err(|error| refused(&error))?;
    let (mut sender, connection) = h2::client::handshake(tls).await?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
    let asked = async {
        sender = sender.ready().await?;
        let (answer, mut send) = sender.send_request(request(Method::POST, JOIN_PATH, HeaderMap::new()), false)?;
        send.send_data(question, true)?;
        let answer = answer.await?;
        let status = answer.status();
        let body = whole(answer.into_body()).await?.ok_or(WicketError::TooLong)?;
        Ok(Answered { status, body })
    };
    timeout(wicket.patience, asked).await.map_err(silent)?
}

fn refused(error: &std::io::Error) -> WicketError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(ours)))) = inner else {
        return WicketError::Tls(error.to_string());
    };
    match ours.downcast_ref::<Unknown>() {
        Some(Unknown { found, wanted }) => WicketError::Stranger { found: found.clone(), wanted: wanted.clone() },
        None => WicketError::Tls(ours.to_string()),
    }
}

/// A body of bounded length; nothing if it is longer.
pub(super) async fn whole(mut body: RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let mut whole = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        if whole.len() + data.len() > JOIN_BYTES {
            return Ok(None);
        }
        whole.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(Some(whole.freeze()))
}

/// The certificate of the chain that has this fingerprint.
pub(super) fn find<'a>(
    chain: impl Iterator<Item = &'a CertificateDer<'a>>,
    fingerprint: &str,
) -> Result<CertificateDer<'static>, Unknown> {
    let mut last = String::new();
    for certificate in chain {
        last = super::trust::fingerprint(certificate);
        if last == fingerprint {
            return Ok(certificate.clone().into_owned());
        }
    }
    Err(Unknown { found: last, wanted: fingerprint.to_owned() })
}

/// Lets hosts in, or doesn't.
pub trait Admit: Send + Sync + 'static {
    /// Answers a question that somebody without a certificate asks, at most [`JOIN_BYTES`] long.
    fn admit(&self, question: Bytes, from: std::net::SocketAddr) -> futures_util::future::BoxFuture<'_, Answered>;
}

/// Shared by all connections.
pub(super) type Admits = std::sync::OnceLock<Arc<dyn Admit>>;
