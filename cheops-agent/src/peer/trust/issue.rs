//! An authority and the certificates that it signs: for the lab, the demo, and sites that join.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};

use super::{PeerIdentity, TrustError};

/// The time in which a certificate is good.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

impl Validity {
    /// From an hour ago, since clocks differ, for `days`.
    pub fn days(days: u32) -> Self {
        let now = SystemTime::now();
        Self {
            not_before: now - Duration::from_secs(3600),
            not_after: now + Duration::from_secs(u64::from(days) * 86_400),
        }
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
        let mut params = CertificateParams::default();
        params.not_before = validity.not_before.into();
        params.not_after = validity.not_after.into();
        params.distinguished_name.push(DnType::CommonName, format!("Cheops federation {federation}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// An authority that was written to files.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, TrustError> {
        let issuer = Issuer::from_ca_cert_pem(certificate, KeyPair::from_pem(key)?)?;
        Ok(Self { issuer, certificate: certificate.to_owned() })
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
        let certificate = params(identity, validity)?.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem() })
    }

    /// A certificate for the key of a request (RFC 2986), in PEM form. Nothing else of the request is taken: who its
    /// sender is must be known otherwise.
    ///
    /// # Errors
    /// When the request isn't readable, or not signed with its own key.
    pub fn sign(&self, identity: &PeerIdentity, request: &str, validity: Validity) -> Result<String, TrustError> {
        let request = CertificateSigningRequestParams::from_pem(request)?;
        Ok(params(identity, validity)?.signed_by(&request.public_key, &self.issuer)?.pem())
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
        let key = KeyPair::generate()?;
        let request = CertificateParams::default().serialize_request(&key)?.pem()?;
        Ok(Self { key: key.serialize_pem(), request })
    }
}

fn params(identity: &PeerIdentity, validity: Validity) -> Result<CertificateParams, TrustError> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial(SystemTime::now())));
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

/// The first byte of serial numbers that tell when they were given out.
const TELLS: u8 = 0x43;
/// How long such a serial number is.
const SERIAL: usize = 16;

/// A new serial number (RFC 5280, 4.1.2.2): the time, so that a revocation can be of everything that was issued before
/// it, and chance. `not-before` can't tell that: it is set back, since clocks differ.
fn serial(now: SystemTime) -> [u8; SERIAL] {
    let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let time = u64::try_from(millis).unwrap_or_default().to_be_bytes().into_iter().skip(2);
    let chance: [u8; SERIAL] = rand::random();
    let mut serial = [0; SERIAL];
    let all = std::iter::once(TELLS).chain(time).chain(chance);
    serial.iter_mut().zip(all).for_each(|(byte, from)| *byte = from);
    serial
}

/// When a certificate with that serial number was issued, in milliseconds since 1970, if the number tells.
pub(super) fn issued(serial: &[u8]) -> Option<u64> {
    let (tells, rest) = serial.split_first()?;
    let time = rest.first_chunk::<6>()?;
    let known = *tells == TELLS && serial.len() == SERIAL;
    known.then(|| time.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
}
