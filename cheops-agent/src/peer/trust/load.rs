//! Reading a host's PEM files, with an error for each way in which they can be unusable.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use super::{Joined, PeerIdentity, Revocations, Security, Shown, Trust, TrustError, fingerprint, verify};
use crate::config::{Config, PeerConfig, PeerSecurity};
use crate::metadata::record::CertificateFacts;

/// Next to the authorities' certificates: what is shown to those that know only the fingerprint of an earlier one.
pub(super) const BRIDGE: &str = "bridge.pem";

impl Security {
    /// Of the certificate that is shown.
    pub fn certificate(&self) -> Option<CertificateFacts> {
        match self {
            Self::Tls(trust) => Some(trust.facts()),
            _ => None,
        }
    }

    /// What the configuration says, with the files read and checked. `config.peer` being absent is the caller's affair.
    pub fn load(config: &Config, peer: &PeerConfig, revoked: &Arc<Revocations>) -> Result<Self, TrustError> {
        match &peer.security {
            PeerSecurity::Tls { ca, cert, key } => {
                Ok(Self::Tls(Arc::new(Trust::load(identity(config), ca, cert, key, revoked.clone())?)))
            }
            PeerSecurity::Joined { directory } => {
                let joined = Joined::at(directory);
                if !joined.is_whole() {
                    return Ok(Self::Unjoined);
                }
                let fits = |next: &Path| pair(&joined.certificate, next).unwrap_or(false);
                let settled = joined.settle(fits);
                settled.map_err(|source| TrustError::Read { path: joined.key.clone(), source })?;
                let (ca, cert, key) = (&joined.ca, &joined.certificate, &joined.key);
                Ok(Self::Tls(Arc::new(Trust::load(identity(config), ca, cert, key, revoked.clone())?)))
            }
            PeerSecurity::Insecure => {
                let peers = config.sites.iter().flat_map(|site| &site.peers).map(String::as_str);
                insecure(peer.listen, peers)
            }
        }
    }
}

/// Who this agent is, by its configuration.
pub fn identity(config: &Config) -> PeerIdentity {
    PeerIdentity { federation: config.federation.clone(), site: config.site.clone(), host: config.host.clone() }
}

/// Plain text, if this agent and every peer are at loopback addresses. A name could come to mean anything: refused.
pub(super) fn insecure<'a>(
    listen: SocketAddr,
    mut peers: impl Iterator<Item = &'a str>,
) -> Result<Security, TrustError> {
    let loopback = |peer: &&str| peer.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
    if !listen.ip().is_loopback() {
        return Err(TrustError::InsecureAddress(listen.to_string()));
    }
    match peers.find(|peer| !loopback(peer)) {
        Some(peer) => Err(TrustError::InsecureAddress(peer.to_owned())),
        None => Ok(Security::Insecure),
    }
}

impl Trust {
    /// Reads and checks the authority's certificates, this host's certificate chain and its key.
    pub fn load(
        identity: PeerIdentity,
        ca: &Path,
        cert: &Path,
        key: &Path,
        revoked: Arc<Revocations>,
    ) -> Result<Self, TrustError> {
        let authorities = certificates(ca)?;
        let roots = verify::roots(&authorities)?;
        let chain = certificates(cert)?;
        let leaf = chain.first().ok_or_else(|| no_pem(cert, "certificate"))?;
        let not_after = check_dates(cert, leaf)?;
        let shown = Shown::of(leaf).map_err(|source| TrustError::Identity { path: cert.to_owned(), source })?;
        if shown.identity != identity {
            let (found, wanted) = (shown.identity.to_uri(), identity.to_uri());
            return Err(TrustError::NotOurs { path: cert.to_owned(), found, wanted });
        }
        verify::signed_by(&chain, &roots).map_err(|error| TrustError::WrongAuthority {
            cert: cert.to_owned(),
            ca: ca.to_owned(),
            reason: error.to_string(),
        })?;
        let private = read_key(key)?;
        if !verify::key_fits(&chain, &private)? {
            return Err(TrustError::KeyMismatch { key: key.to_owned(), cert: cert.to_owned() });
        }
        let roots = Arc::new(roots);
        let signer = authorities.iter().find(|authority| verify::is_by(&chain, authority));
        // A stranger knows the authority by its fingerprint alone, so it is shown.
        let bridge = certificates(&ca.with_file_name(BRIDGE)).unwrap_or_default();
        let whole: Vec<_> = chain.iter().chain(signer).chain(&bridge).cloned().collect();
        let server = verify::server_config(&roots, &chain, &private, &revoked, false)?;
        let open = verify::server_config(&roots, &whole, &private, &revoked, true)?;
        let signer = signer.map(fingerprint).unwrap_or_default();
        Ok(Self { identity, not_after, shown, signer, authorities, revoked, roots, chain, key: private, server, open })
    }

    /// The first of the authorities that are believed whose key this host has, with that key.
    pub fn authority(&self, joined: &Joined) -> Option<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
        self.held(joined).into_iter().next()
    }

    /// The authorities that are believed whose keys this host has, with these keys; the one that signs first.
    pub fn held(&self, joined: &Joined) -> Vec<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
        let pem = std::fs::read(&joined.authority).unwrap_or_default();
        let keys: Vec<PrivateKeyDer<'static>> = PrivateKeyDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
        let with_key = |authority: &CertificateDer<'static>| {
            let key = keys.iter().find(|key| is_key_of(key, authority))?;
            Some((authority.clone(), key.clone_key()))
        };
        self.authorities.iter().filter_map(with_key).collect()
    }

    /// What a certificate (PEM) says that an authority signed which is believed here.
    ///
    /// # Errors
    /// When it is none.
    pub fn shown_of(&self, pem: &str) -> Result<Shown, String> {
        let certificate =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| "it is no certificate".to_owned())?;
        let chain = std::slice::from_ref(&certificate);
        verify::signed_by(chain, &self.roots).map_err(|error| error.to_string())?;
        Shown::of(&certificate).map_err(|error| error.to_string())
    }

    /// Whether a certificate (PEM) is by the authority that signs now.
    pub fn is_by_first(&self, pem: &str) -> bool {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes());
        let first = self.authorities.first();
        certificate.is_ok_and(|leaf| first.is_some_and(|first| verify::is_by(std::slice::from_ref(&leaf), first)))
    }

    /// Whether a peer with these certificates would be let in now.
    pub(in crate::peer) fn believes(&self, chain: &[CertificateDer<'static>]) -> bool {
        let shown = chain.first().and_then(|first| Shown::of(first).ok());
        let then = |shown: Shown| UnixTime::since_unix_epoch(shown.from());
        // Its end is another matter: what is open then may end well.
        shown.is_some_and(|shown| verify::signed_by_at(chain, &self.roots, then(shown)).is_ok())
    }

    /// What others need to know of this host's certificate.
    pub fn facts(&self) -> CertificateFacts {
        self.shown.facts(self.signer.clone())
    }
}

/// Whether this is the key of that authority.
pub fn is_key_of(key: &PrivateKeyDer<'static>, authority: &CertificateDer<'static>) -> bool {
    verify::key_fits(std::slice::from_ref(authority), key).unwrap_or(false)
}

/// Whether this is the key of that certificate.
fn pair(cert: &Path, key: &Path) -> Result<bool, TrustError> {
    Ok(verify::key_fits(&certificates(cert)?, &read_key(key)?)?)
}

fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    std::fs::read(path).map_err(|source| TrustError::Read { path: path.to_owned(), source })
}

fn no_pem(path: &Path, what: &'static str) -> TrustError {
    TrustError::NoPem { path: path.to_owned(), what }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let read = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(no_pem(path, "certificate")),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TrustError> {
    let pem = read(path)?;
    let metadata = std::fs::metadata(path).map_err(|source| TrustError::Read { path: path.to_owned(), source })?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(TrustError::KeyExposed { path: path.to_owned(), mode });
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| no_pem(path, "private key"))
}

/// The end of the certificate's time, if now is within it.
fn check_dates(path: &Path, certificate: &CertificateDer<'_>) -> Result<i64, TrustError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| no_pem(path, "certificate"))?;
    let (validity, now) = (parsed.validity(), x509_parser::time::ASN1Time::now());
    if now > validity.not_after {
        return Err(TrustError::Expired { path: path.to_owned(), at: validity.not_after.to_string() });
    }
    if now < validity.not_before {
        return Err(TrustError::NotYetValid { path: path.to_owned(), at: validity.not_before.to_string() });
    }
    Ok(validity.not_after.timestamp())
}
