//! An authority and the certificates that it signs: for the lab, the demo, and sites that join.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{PeerIdentity, TrustError};
use crate::metadata::record::{self, Millis};
use crate::metadata::revoke;

/// The time in which a certificate is good.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

impl Validity {
    /// From an hour ago, since clocks differ, for `days`.
    pub fn days(days: u32) -> Self {
        Self::lasting(Duration::from_secs(u64::from(days) * 86_400))
    }

    /// From an hour ago, since clocks differ, for that long.
    pub fn lasting(life: Duration) -> Self {
        let now = SystemTime::now();
        Self { not_before: now - Duration::from_secs(3600), not_after: now + life }
    }
}

/// A federation's certificate authority, with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A host's certificate and key, in PEM form.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// Makes a new authority.
    pub fn new(federation: &str, validity: Validity) -> Result<Self, TrustError> {
        let key = KeyPair::generate()?;
        let params = authority(federation, validity);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// An authority that was written to files.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, TrustError> {
        let issuer = Issuer::from_ca_cert_pem(certificate, KeyPair::from_pem(key)?)?;
        Ok(Self { issuer, certificate: certificate.to_owned() })
    }

    /// An authority with its certificate and key, both as they were read.
    pub fn of(certificate: &CertificateDer<'static>, key: &PrivateKeyDer<'static>) -> Result<Self, TrustError> {
        let issuer = Issuer::from_ca_cert_der(certificate, KeyPair::try_from(key)?)?;
        Ok(Self { issuer, certificate: pem(certificate) })
    }

    /// Another authority's certificate (PEM) as this one signs it, for those that know this one alone.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn vouch(&self, other: &Self, federation: &str, validity: Validity) -> Result<String, TrustError> {
        Ok(authority(federation, validity).signed_by(other.issuer.key(), &self.issuer)?.pem())
    }

    /// The authority's certificate in PEM form: what `peer.ca` holds.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The authority's key in PEM form. Whoever has it can be any site.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate, and its new key, for one host.
    pub fn issue(&self, identity: &PeerIdentity, validity: Validity) -> Result<Issued, TrustError> {
        let key = KeyPair::generate()?;
        let certificate = params(identity, validity, record::now())?.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem() })
    }

    /// A certificate for the key of a request (RFC 2986), in PEM form. Nothing else of the request is taken: who its
    /// sender is must be known otherwise.
    ///
    /// # Errors
    /// When the request isn't readable, or not signed with its own key.
    pub fn sign(&self, identity: &PeerIdentity, request: &str, validity: Validity) -> Result<String, TrustError> {
        self.sign_after(identity, request, validity, None)
    }

    /// The same, issued after what was revoked until then: the clock of whoever revoked it may be ahead of this host's.
    ///
    /// # Errors
    /// As [`Authority::sign`].
    pub fn sign_after(
        &self,
        identity: &PeerIdentity,
        request: &str,
        validity: Validity,
        revoked: Option<Millis>,
    ) -> Result<String, TrustError> {
        let request = CertificateSigningRequestParams::from_pem(request)?;
        let issued = revoked.map_or(0, |revoked| revoked.saturating_add(1)).max(record::now());
        Ok(params(identity, validity, issued)?.signed_by(&request.public_key, &self.issuer)?.pem())
    }
}

/// A new key, and the request (RFC 2986) by which an authority makes a certificate for it. The key stays where it is.
pub struct Wanted {
    pub key: String,
    pub request: String,
}

impl Wanted {
    /// Makes a new key.
    pub fn new() -> Result<Self, TrustError> {
        Self::with(&KeyPair::generate()?)
    }

    /// Asks again for this key (PEM).
    pub fn again(key: &str) -> Result<Self, TrustError> {
        Self::with(&KeyPair::from_pem(key)?)
    }

    fn with(key: &KeyPair) -> Result<Self, TrustError> {
        let request = CertificateParams::default().serialize_request(key)?.pem()?;
        Ok(Self { key: key.serialize_pem(), request })
    }
}

/// A certificate in PEM form (RFC 7468).
pub fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// What an authority's certificate says.
fn authority(federation: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = validity.not_before.into();
    params.not_after = validity.not_after.into();
    params.distinguished_name.push(DnType::CommonName, format!("Cheops federation {federation}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(identity: &PeerIdentity, validity: Validity, issued: Millis) -> Result<CertificateParams, TrustError> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&revoke::serial(issued)));
    params.not_before = validity.not_before.into();
    params.not_after = validity.not_after.into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, identity.host.as_str());
    params.subject_alt_names = vec![SanType::URI(identity.to_uri().try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
