//! What a certificate says of itself.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

use super::{IdentityError, PeerIdentity};
use crate::metadata::record::{CertificateFacts, Millis};
use crate::metadata::revoke;

/// A host's certificate, as far as it matters who believes it. Says nothing about who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub identity: PeerIdentity,
    /// In hexadecimal.
    pub serial: String,
    /// When it was issued; where its serial number doesn't tell, from when on it is good.
    pub issued: Millis,
    /// From when and until when it is good, in seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
}

impl Shown {
    /// What `certificate` (DER) says.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn of(certificate: &[u8]) -> Result<Self, IdentityError> {
        let identity = PeerIdentity::of_certificate(certificate)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| IdentityError::Unreadable)?;
        Ok(Self::with(identity, &parsed))
    }

    fn with(identity: PeerIdentity, parsed: &X509Certificate<'_>) -> Self {
        let validity = parsed.validity();
        let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let from = u64::try_from(not_before).unwrap_or_default().saturating_mul(1000);
        let serial = hex(parsed.raw_serial());
        let issued = revoke::issued(&serial).unwrap_or(from);
        Self { identity, serial, issued, not_before, not_after }
    }

    /// What others need to know of it.
    pub fn facts(&self, authority: String) -> CertificateFacts {
        let expires = u64::try_from(self.not_after).unwrap_or_default().saturating_mul(1000);
        CertificateFacts { serial: self.serial.clone(), expires, authority }
    }

    /// From when on it is good, since 1970.
    pub fn from(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.not_before).unwrap_or_default())
    }

    /// How long it is good in all, from when it was issued.
    pub fn life(&self) -> Duration {
        let end = u64::try_from(self.not_after).unwrap_or_default().saturating_mul(1000);
        Duration::from_millis(end.saturating_sub(self.issued))
    }
}

/// SHA-256 of a certificate (DER) in hexadecimal: how an authority is called.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, certificate).as_ref())
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
