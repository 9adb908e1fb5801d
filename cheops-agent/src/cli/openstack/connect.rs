//! One question to Keystone: HTTP/1.1, with TLS where its URL says so.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::config::EndpointUrl;

/// How long Keystone has for all of its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A catalog of hundreds of endpoints is a tenth of it.
const LONGEST: usize = 4 << 20;

/// Whose certificates count.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The system's authorities.
    System,
    /// Those of this file.
    File(PathBuf),
    /// Anybody's, as the settings ask for.
    Anybody,
}

/// How both ends prove who they are.
#[derive(Clone, Debug)]
pub struct Tls {
    pub trust: Trust,
    /// The files of the certificate that is shown, and of its key, where Keystone wants one.
    pub shown: Option<(PathBuf, PathBuf)>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("can't be reached: {0}")]
    Unreachable(std::io::Error),
    #[error("has not answered within {} s", PATIENCE.as_secs())]
    Late,
    #[error(
        "is not who it should be, or speaks no TLS: {0}; name its authority (cacert, OS_CACERT), or write http in its URL \
         if that is meant"
    )]
    Tls(std::io::Error),
    #[error("would be checked by {}, which can't be used: {why}", .path.display())]
    Authority { path: PathBuf, why: String },
    #[error(
        "would be checked by the system's authorities, and none can be read: {0}; name its own (cacert, OS_CACERT)"
    )]
    NoAuthorities(String),
    #[error("would be shown the certificate of {} (cert, key), which can't be used: {why}", .path.display())]
    Shown { path: PathBuf, why: String },
    #[error("can't be asked: {0}")]
    Setup(String),
    #[error("wants to be shown a certificate that it knows: name it and its key (cert and key, OS_CERT and OS_KEY)")]
    Unshown,
    #[error("gives no answer that can be read: {0}")]
    Broken(String),
}

impl ConnectError {
    /// TLS 1.3 tells only after the handshake that a certificate is wanted, or another one.
    fn broken(error: &(dyn Error + 'static)) -> Self {
        fn cause<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
            (*error).source()
        }
        let causes = || std::iter::successors(Some(error), cause);
        let alerts =
            [AlertDescription::CertificateRequired, AlertDescription::UnknownCA, AlertDescription::BadCertificate];
        let is_alert = |cause: &(dyn Error + 'static)| {
            let sealed = cause.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref()?.downcast_ref());
            matches!(sealed, Some(rustls::Error::AlertReceived(alert)) if alerts.contains(alert))
        };
        if causes().any(is_alert) {
            return Self::Unshown;
        }
        Self::Broken(causes().map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }
}

/// Sends JSON, and gives the answer's status and body.
pub async fn post(to: &EndpointUrl, path: &str, body: &Value, tls: &Tls) -> Result<(StatusCode, Bytes), ConnectError> {
    tokio::time::timeout(PATIENCE, asked(to, path, body, tls)).await.map_err(|_| ConnectError::Late)?
}

async fn asked(to: &EndpointUrl, path: &str, body: &Value, tls: &Tls) -> Result<(StatusCode, Bytes), ConnectError> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}{path}", to.prefix))
        .header("host", to.authority())
        .header("user-agent", concat!("cheops/", env!("CARGO_PKG_VERSION")))
        .header("accept", "application/json")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|error| ConnectError::Setup(error.to_string()))?;
    let stream = TcpStream::connect((to.host.as_str(), to.port)).await.map_err(ConnectError::Unreachable)?;
    if !to.https {
        return exchange(stream, request).await;
    }
    let name = ServerName::try_from(to.host.clone()).map_err(|error| ConnectError::Setup(error.to_string()))?;
    let connector = TlsConnector::from(Arc::new(client(tls)?));
    exchange(connector.connect(name, stream).await.map_err(ConnectError::Tls)?, request).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), ConnectError> {
    let broken = |error: hyper::Error| ConnectError::broken(&error);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    Ok((status, body.map_err(|error| ConnectError::broken(&*error))?.to_bytes()))
}

fn client(tls: &Tls) -> Result<ClientConfig, ConnectError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Setup(error.to_string()))?;
    let builder = match &tls.trust {
        Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))),
        Trust::System => builder.with_root_certificates(system()?),
        Trust::File(path) => builder.with_root_certificates(of_file(path)?),
    };
    let Some((certificate, key)) = &tls.shown else { return Ok(builder.with_no_client_auth()) };
    let unusable = |path: &Path, why: String| ConnectError::Shown { path: path.to_owned(), why };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(|all| all.collect::<Result<Vec<_>, _>>());
    let chain = chain.map_err(|error| unusable(certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(unusable(certificate, "it holds no certificate".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error.to_string()))?;
    builder.with_client_auth_cert(chain, secret).map_err(|error| unusable(certificate, error.to_string()))
}

fn system() -> Result<RootCertStore, ConnectError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(ConnectError::NoAuthorities(why));
    }
    Ok(roots)
}

fn of_file(path: &Path) -> Result<RootCertStore, ConnectError> {
    let unusable = |why: String| ConnectError::Authority { path: path.to_owned(), why };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unusable("it holds no certificate".to_owned())) } else { Ok(roots) }
}

/// Takes any certificate; that its key is there is checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
