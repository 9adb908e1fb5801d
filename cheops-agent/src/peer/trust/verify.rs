//! rustls configurations: TLS 1.3 only, `h2` only, certificates demanded both ways.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WantsClientCert, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, DistinguishedName, Error, InconsistentKeys,
    OtherError, RootCertStore, ServerConfig, SignatureScheme, version::TLS13,
};

use super::{PeerIdentity, Revocations, Shown, Trust};
use crate::names::SiteName;
use crate::peer::join;

const ALPN: &[u8] = b"h2";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    ring::default_provider().signature_verification_algorithms
}

/// Authorities as rustls has them.
pub(super) fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    authorities.iter().try_for_each(|authority| roots.add(authority.clone()))?;
    Ok(roots)
}

/// Whether the chain leads to one of `roots`, now.
pub(super) fn signed_by(chain: &[CertificateDer<'_>], roots: &RootCertStore) -> Result<(), Error> {
    signed_by_at(chain, roots, UnixTime::now())
}

/// Whether the chain leads to one of `roots` at that time.
pub(super) fn signed_by_at(chain: &[CertificateDer<'_>], roots: &RootCertStore, at: UnixTime) -> Result<(), Error> {
    let (leaf, between) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
    let parsed = ParsedCertificate::try_from(leaf)?;
    verify_server_cert_signed_by_trust_anchor(&parsed, roots, between, at, algorithms().all)
}

/// Whether this authority is the one that the chain leads to.
pub(super) fn is_by(chain: &[CertificateDer<'_>], authority: &CertificateDer<'static>) -> bool {
    is_by_at(chain, authority, UnixTime::now())
}

/// Whether it was at that time.
pub(super) fn is_by_at(chain: &[CertificateDer<'_>], authority: &CertificateDer<'static>, at: UnixTime) -> bool {
    roots(std::slice::from_ref(authority)).is_ok_and(|roots| signed_by_at(chain, &roots, at).is_ok())
}

/// Whether `key` is the key of the chain's first certificate.
pub(super) fn key_fits(chain: &[CertificateDer<'static>], key: &PrivateKeyDer<'static>) -> Result<bool, Error> {
    match CertifiedKey::new(chain.to_vec(), signing_key(key)?).keys_match() {
        Ok(()) => Ok(true),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A key that signs.
pub(super) fn signing_key(key: &PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
    provider().key_provider.load_private_key(key.clone_key())
}

/// How peers are let in: with a certificate of the authority. What it names is checked after the handshake. `strangers` may
/// come without one.
pub(super) fn server_config(
    roots: &Arc<RootCertStore>,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    revoked: &Arc<Revocations>,
    strangers: bool,
) -> Result<Arc<ServerConfig>, Error> {
    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider());
    let clients = if strangers { clients.allow_unauthenticated() } else { clients };
    let clients = clients.build().map_err(|error| Error::General(error.to_string()))?;
    let clients = Arc::new(Members { clients, revoked: revoked.clone() });
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.to_vec(), key.clone_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would skip the look at the certificate.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// How `site` is dialled: its certificate must be of the authority, the federation and that site.
pub(in crate::peer) fn client_config(trust: &Trust, site: &SiteName) -> Result<Arc<ClientConfig>, Error> {
    let demands = Demands {
        roots: trust.roots.clone(),
        federation: trust.identity.federation.clone(),
        site: site.clone(),
        revoked: trust.revoked.clone(),
    };
    let config = dialling(demands)?.with_client_auth_cert(trust.chain.clone(), trust.key.clone_key())?;
    Ok(each_link_anew(config))
}

/// How an agent is dialled by a host that has no certificate, and knows the fingerprint of the other's authority.
pub(in crate::peer) fn pinned_config(federation: &str, fingerprint: &str) -> Result<Arc<ClientConfig>, Error> {
    let pinned = Pinned { federation: federation.to_owned(), fingerprint: fingerprint.to_owned() };
    Ok(each_link_anew(dialling(pinned)?.with_no_client_auth()))
}

/// Looks at what a dialled agent shows by `judge` alone.
fn dialling(judge: impl Judge) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(Judged(judge))))
}

/// No link takes up what an earlier one had found good.
fn each_link_anew(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_sni = false;
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// Says whether a dialled agent is the one that is meant.
trait Judge: fmt::Debug + Send + Sync + 'static {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error>;
}

/// WebPKI's own verifier looks for DNS names and addresses; ours is a URI.
#[derive(Debug)]
struct Judged<J>(J);

impl<J: Judge> ServerCertVerifier for Judged<J> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.judge(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken between agents".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// An agent of any site of one federation, whose authority it shows itself.
#[derive(Debug)]
struct Pinned {
    federation: String,
    fingerprint: String,
}

impl Judge for Pinned {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let authority = join::find(intermediates.iter(), &self.fingerprint).map_err(refused)?;
        let chain: Vec<_> = std::iter::once(leaf).chain(intermediates).cloned().collect();
        signed_by_at(&chain, &roots(&[authority])?, now)?;
        let found = PeerIdentity::of_certificate(leaf).map_err(refused)?;
        match found.federation == self.federation {
            true => Ok(()),
            false => Err(refused(AnotherFederation(found.federation, self.federation.clone()))),
        }
    }
}

/// The certificate is good, and of another federation.
#[derive(Debug, thiserror::Error)]
#[error("it is an agent of the federation {0}, and {1} is expected")]
struct AnotherFederation(String, String);

/// What a dialled peer must show.
#[derive(Debug)]
struct Demands {
    roots: Arc<RootCertStore>,
    federation: String,
    site: SiteName,
    revoked: Arc<Revocations>,
}

impl Judge for Demands {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms().all)?;
        let shown = Shown::of(leaf).map_err(refused)?;
        unrevoked(&self.revoked, &shown)?;
        let found = shown.identity;
        if found.federation != self.federation || found.site != self.site {
            let (federation, site) = (self.federation.clone(), self.site.clone());
            return Err(refused(AnotherSite { found: found.to_uri(), federation, site }));
        }
        Ok(())
    }
}

/// The certificate is good, and somebody else's.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is for {found}, and cheops://{federation}/{site} was dialled")]
struct AnotherSite {
    found: String,
    federation: String,
    site: SiteName,
}

/// The error is what tells the other end why (RFC 8446, 6.2: certificate_revoked).
fn unrevoked(revoked: &Revocations, shown: &Shown) -> Result<(), Error> {
    match revoked.hold(shown) {
        true => Err(Error::InvalidCertificate(CertificateError::Revoked)),
        false => Ok(()),
    }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// Whom a server lets in: the authority's, but for those that were revoked.
#[derive(Debug)]
struct Members {
    clients: Arc<dyn ClientCertVerifier>,
    revoked: Arc<Revocations>,
}

impl ClientCertVerifier for Members {
    fn offer_client_auth(&self) -> bool {
        self.clients.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.clients.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.clients.verify_client_cert(end_entity, intermediates, now)?;
        // One that names nobody of ours is refused after the handshake, with a better reason.
        if let Ok(shown) = Shown::of(end_entity) {
            unrevoked(&self.revoked, &shown)?;
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}
