//! Who may talk: certificates of one federation's authority, each naming its site and host (mutual TLS 1.3).
//!
//! `issue` makes an authority and host certificates, `load` reads a host's PEM files, `verify` builds the rustls
//! configurations. A certificate names its holder by one URI subject alternative name (RFC 5280, 4.2.1.6):
//! `cheops://<federation>/<site>/<host>`, each part percent-encoded.

pub mod files;
pub mod issue;
mod joined;
mod load;
mod revoked;
mod seal;
mod shown;
mod verify;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::{percent_decode_str, utf8_percent_encode};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

pub use issue::{Authority, Issued, Validity, Wanted, pem};
pub use joined::{Content, Joined};
pub use load::{identity, is_key_of};
pub use revoked::Revocations;
pub use seal::{Signed, Written};
pub use shown::{Shown, fingerprint, hex};
pub(super) use verify::{client_config, pinned_config};

use super::envelope::NAME;
use crate::names::{HostName, SiteName};

const SCHEME: &str = "cheops://";

/// Who an agent is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerIdentity {
    pub federation: String,
    pub site: SiteName,
    pub host: HostName,
}

impl PeerIdentity {
    /// The URI that a certificate carries.
    pub fn to_uri(&self) -> String {
        let part = |text: &str| utf8_percent_encode(text, NAME).to_string();
        format!("{SCHEME}{}/{}/{}", part(&self.federation), part(self.site.as_str()), part(self.host.as_str()))
    }

    /// The identity that `uri` names; `None` if it isn't of our form.
    pub fn from_uri(uri: &str) -> Option<Self> {
        let mut parts = uri.strip_prefix(SCHEME)?.split('/').map(|part| {
            let decoded = percent_decode_str(part).decode_utf8().ok()?.into_owned();
            (!decoded.is_empty()).then_some(decoded)
        });
        let (federation, site, host) = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then(|| Self { federation, site: site.into(), host: host.into() })
    }

    /// The identity that a certificate names. Says nothing about who signed it.
    pub fn of_certificate(certificate: &[u8]) -> Result<Self, IdentityError> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| IdentityError::Unreadable)?;
        let names = parsed.subject_alternative_name().map_err(|_| IdentityError::Unreadable)?;
        let mut ours = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some(*uri),
            _ => None,
        });
        let uri = ours.next().ok_or(IdentityError::Missing)?;
        match ours.next() {
            Some(_) => Err(IdentityError::Several),
            None => Self::from_uri(uri).ok_or(IdentityError::Malformed),
        }
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_uri())
    }
}

/// Why a certificate doesn't say who its holder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("the certificate is not readable")]
    Unreadable,
    #[error("the certificate has no name cheops://<federation>/<site>/<host>")]
    Missing,
    #[error("the certificate has several names cheops://…")]
    Several,
    #[error("the certificate's name is not of the form cheops://<federation>/<site>/<host>")]
    Malformed,
}

/// Why this host's certificates can't be used; each says which file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("can't read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} holds no {what} in PEM form")]
    NoPem { path: PathBuf, what: &'static str },
    #[error("{path} can be read by every user of this host (mode {mode:03o}); take that away with: chmod 0640 {path}")]
    KeyExposed { path: PathBuf, mode: u32 },
    #[error("{path}: {source}")]
    Identity { path: PathBuf, source: IdentityError },
    #[error("{path} is for {found}, and this agent is {wanted}; give it the certificate of its own site and host")]
    NotOurs { path: PathBuf, found: String, wanted: String },
    #[error("{path} expired at {at}; issue a new certificate")]
    Expired { path: PathBuf, at: String },
    #[error("{path} is valid from {at} only; check this host's clock")]
    NotYetValid { path: PathBuf, at: String },
    #[error("{cert} is not signed by the authority in {ca}: {reason}")]
    WrongAuthority { cert: PathBuf, ca: PathBuf, reason: String },
    #[error("{key} is not the key of {cert}")]
    KeyMismatch { key: PathBuf, cert: PathBuf },
    #[error(
        "plain text between agents is for loopback addresses only, and {0} is none; configure peer.ca, cert and key"
    )]
    InsecureAddress(String),
    #[error("can't issue a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// How agents talk.
#[derive(Clone)]
pub enum Security {
    /// Mutual TLS.
    Tls(Arc<Trust>),
    /// Plain text, between loopback addresses only. Peers are believed.
    Insecure,
    /// This host has no certificate yet: it belongs to no federation, and talks to nobody.
    Unjoined,
}

/// This host's certificate, checked, and whom it trusts.
pub struct Trust {
    /// Who this agent is.
    pub identity: PeerIdentity,
    /// When the certificate ends, for `check`: seconds since 1970.
    pub not_after: i64,
    /// What this host shows.
    pub shown: Shown,
    /// The fingerprint of the authority that signed it.
    pub signer: String,
    /// Whom it trusts: certificates of authorities (DER), in the file's order.
    pub authorities: Vec<CertificateDer<'static>>,
    /// What is not believed all the same; it may grow.
    pub revoked: Arc<Revocations>,
    roots: Arc<rustls::RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: rustls::pki_types::PrivateKeyDer<'static>,
    pub(super) server: Arc<rustls::ServerConfig>,
    /// As `server`, also for those that have no certificate yet.
    pub(super) open: Arc<rustls::ServerConfig>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("identity", &self.identity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
