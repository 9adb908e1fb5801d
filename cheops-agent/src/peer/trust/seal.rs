//! The seal of records: who wrote them, and that they were written for their key.
//!
//! What is kept is a JSON object: the record as text, the writer's certificate, when it was written, and a signature by
//! the certificate's key over all of that and the whole key. A host's key signs for its own site; what lets others in
//! or out (the federation's authorities, tokens, revocations) is signed by the authority's key itself.
//!
//! The signer's certificate is checked against the federation's authorities, but not against the clock: a site that is
//! away longer than its certificate lives isn't forgotten. A record that was written before one that was seen here is a
//! replay. Hosts of one site that write the same key may differ in their clocks, so there some time is granted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{RootCertStore, SignatureScheme};
use serde::{Deserialize, Serialize};

use super::{PeerIdentity, Revocations, Shown, Trust, fingerprint, verify};
use crate::metadata::key::{self, Key};
use crate::metadata::record::{self, Millis, Record};
use crate::metadata::revoke;
use crate::metadata::seal::{Seal, SealError};

/// The version of the object that is kept.
const VERSION: u64 = 1;
/// What a signature begins with, so that none of ours is good for anything else.
const PURPOSE: &[u8] = b"cheops record 1\0";
/// By how much the clocks of a site's hosts may differ, in milliseconds.
const GRANTED: Millis = 10 * 60 * 1000;
/// Keys and certificates that are remembered; more than a federation has.
const MOST: usize = 20_000;

/// Signatures that are made and believed, the one that is made first.
const SCHEMES: [(SignatureScheme, &str, &dyn VerificationAlgorithm); 4] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, "ecdsa-p256-sha256", &signature::ECDSA_P256_SHA256_ASN1),
    (SignatureScheme::ECDSA_NISTP384_SHA384, "ecdsa-p384-sha384", &signature::ECDSA_P384_SHA384_ASN1),
    (SignatureScheme::ED25519, "ed25519", &signature::ED25519),
    (SignatureScheme::RSA_PSS_SHA256, "rsa-pss-sha256", &signature::RSA_PSS_2048_8192_SHA256),
];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u64,
    /// When, in milliseconds since 1970; never less than before at the same key.
    written: Millis,
    scheme: String,
    /// Base64 of DER.
    certificate: String,
    /// Base64.
    signature: String,
    record: String,
}

/// When what is at each key was written, as far as it was seen. Outlives a seal.
#[derive(Debug, Default)]
pub struct Written(Mutex<HashMap<String, Millis>>);

/// A certificate with its key.
struct Pen {
    certificate: CertificateDer<'static>,
    key: Arc<dyn rustls::sign::SigningKey>,
}

/// The seal of an agent that has certificates.
pub struct Signed {
    identity: PeerIdentity,
    authorities: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    host: Pen,
    /// Where this host signs certificates; the one that signs first.
    authority: Vec<Pen>,
    revoked: Arc<Revocations>,
    written: Arc<Written>,
    /// Certificates that were found to be an authority's.
    good: Mutex<HashMap<CertificateDer<'static>, Good>>,
}

/// What is known of a certificate.
#[derive(Clone)]
struct Good {
    shown: Shown,
    /// Whether it is of the authority that signs now.
    first: bool,
}

/// Who signed.
enum Writer {
    Authority,
    Host(Shown),
}

impl Signed {
    /// Signs as this host, and as the authorities whose certificates and keys are given, the one that signs first.
    ///
    /// # Errors
    /// When a key is of a kind that can't sign records.
    pub fn new(
        trust: &Trust,
        authority: impl IntoIterator<Item = (CertificateDer<'static>, PrivateKeyDer<'static>)>,
        written: Arc<Written>,
    ) -> Result<Self, SealError> {
        let certificate = trust.chain.first().cloned().ok_or(SealError::Missing)?;
        let host = Pen { certificate, key: verify::signing_key(&trust.key).map_err(unable)? };
        let pen = |(certificate, key)| verify::signing_key(&key).map(|key| Pen { certificate, key }).map_err(unable);
        Ok(Self {
            identity: trust.identity.clone(),
            authorities: trust.authorities.clone(),
            roots: trust.roots.clone(),
            host,
            authority: authority.into_iter().map(pen).collect::<Result<_, _>>()?,
            revoked: trust.revoked.clone(),
            written,
            good: Mutex::default(),
        })
    }

    /// What this host's own key makes of it, also where it may not.
    #[cfg(test)]
    pub(super) fn sealed_by_host(&self, full: &str, record: &str) -> Result<String, SealError> {
        self.host.seal(full, self.written.next(full), record)
    }

    /// Who is to sign what is written at `key`.
    fn pen(&self, key: &Key, record: &str) -> Result<&Pen, SealError> {
        if may(&self.identity, key, record) {
            return Ok(&self.host);
        }
        let by = match key {
            Key::Federation => known_by_all(key, record),
            _ => None,
        };
        let pen = match by {
            Some(by) => self.authority.iter().find(|pen| fingerprint(&pen.certificate) == by),
            None => self.authority.first(),
        };
        pen.ok_or(SealError::NoAuthority)
    }

    /// Whether a host that is revoked says just that, of no less than is known: what it said as it left stays true.
    fn takes_leave(&self, shown: &Shown, key: &Key, record: &str) -> bool {
        let known = self.revoked.since(&shown.identity.site, &shown.identity.host);
        matches!(Record::decode(key, record), Ok(Record::Revoked(revoked)) if Some(revoked.since) >= known)
    }

    fn writer(&self, certificate: &CertificateDer<'static>) -> Result<Writer, SealError> {
        if self.authorities.contains(certificate) {
            return Ok(Writer::Authority);
        }
        let known = self.good.lock().unwrap_or_else(PoisonError::into_inner).get(certificate).cloned();
        if let Some(good) = known {
            return Ok(Writer::Host(good.shown));
        }
        let stranger = |reason: String| SealError::Authority(reason);
        let shown = Shown::of(certificate).map_err(|error| stranger(error.to_string()))?;
        if shown.identity.federation != self.identity.federation {
            return Err(stranger(format!("it is of the federation {}", shown.identity.federation)));
        }
        let (chain, from) = (std::slice::from_ref(certificate), UnixTime::since_unix_epoch(shown.from()));
        verify::signed_by_at(chain, &self.roots, from).map_err(|error| stranger(error.to_string()))?;
        let first = self.authorities.len() < 2
            || self.authorities.first().is_some_and(|first| verify::is_by_at(chain, first, from));
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= MOST {
            good.clear();
        }
        good.insert(certificate.clone(), Good { shown: shown.clone(), first });
        Ok(Writer::Host(shown))
    }
}

impl Seal for Signed {
    fn seal(&self, full: &str, record: &str) -> Result<String, SealError> {
        let key = parsed(full, &self.identity.federation)?;
        self.pen(&key, record)?.seal(full, self.written.next(full), record)
    }

    fn open(&self, key: &Key, full: &str, kept: &str) -> Result<String, SealError> {
        let kept = read(kept)?;
        let unreadable = |what: &str| SealError::Unreadable(format!("its {what} is not readable"));
        let certificate = STANDARD.decode(&kept.certificate).map_err(|_| unreadable("certificate"))?;
        let certificate = CertificateDer::from(certificate);
        let signature = STANDARD.decode(&kept.signature).map_err(|_| unreadable("signature"))?;
        let writer = self.writer(&certificate)?;
        check(&certificate, &kept.scheme, &message(full, kept.written, &kept.record), &signature)?;
        if let Writer::Host(shown) = &writer {
            if !may(&shown.identity, key, &kept.record) {
                let by = format!("{}/{}", shown.identity.site, shown.identity.host);
                return Err(SealError::Stranger { by, owner: owner(key) });
            }
            if self.revoked.hold(shown) && !self.takes_leave(shown, key, &kept.record) {
                return Err(SealError::Revoked);
            }
        }
        if !self.written.take(full, kept.written, granted(key)) {
            return Err(SealError::Older);
        }
        Ok(kept.record)
    }

    fn worn(&self, kept: &str) -> bool {
        let Some(certificate) = (self.authorities.len() > 1).then(|| certificate(kept)).flatten() else { return false };
        match self.authorities.iter().position(|authority| *authority == certificate) {
            Some(position) => position > 0,
            None => {
                let good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
                good.get(&certificate).is_some_and(|good| !good.first)
            }
        }
    }
}

/// The certificate that is kept with a record.
fn certificate(kept: &str) -> Option<CertificateDer<'static>> {
    Some(STANDARD.decode(read(kept).ok()?.certificate).ok()?.into())
}

/// By which authority the federation's record has to be signed while that is being replaced: by the one that also those
/// know that were away.
fn known_by_all(key: &Key, record: &str) -> Option<String> {
    match Record::decode(key, record) {
        Ok(Record::Federation(federation)) => federation.rotation.map(|rotation| rotation.from),
        _ => None,
    }
}

impl Pen {
    fn seal(&self, full: &str, written: Millis, record: &str) -> Result<String, SealError> {
        let (scheme, signature) = self.sign(&message(full, written, record))?;
        let kept = Kept {
            version: VERSION,
            written,
            scheme: scheme.to_owned(),
            certificate: STANDARD.encode(&self.certificate),
            signature: STANDARD.encode(signature),
            record: record.to_owned(),
        };
        serde_json::to_string(&kept).map_err(|error| SealError::Unable(error.to_string()))
    }

    fn sign(&self, message: &[u8]) -> Result<(&'static str, Vec<u8>), SealError> {
        let offered = SCHEMES.map(|(scheme, ..)| scheme);
        let none = || SealError::Unable("it is neither of ECDSA on P-256 or P-384 nor of Ed25519 nor RSA".to_owned());
        let signer = self.key.choose_scheme(&offered).ok_or_else(none)?;
        let (_, name, _) = SCHEMES.iter().find(|(scheme, ..)| *scheme == signer.scheme()).ok_or_else(none)?;
        Ok((name, signer.sign(message).map_err(unable)?))
    }
}

impl Written {
    /// The time of the next write at a key: now, or later if the clock was set back.
    fn next(&self, full: &str) -> Millis {
        let now = record::now();
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(full).copied();
        seen.map_or(now, |seen| now.max(seen.saturating_add(1)))
    }

    /// Whether what was written then may follow what was seen.
    pub(super) fn take(&self, full: &str, written: Millis, granted: Millis) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST && !seen.contains_key(full) {
            seen.clear();
        }
        let last = seen.entry(full.to_owned()).or_insert(written);
        if written.saturating_add(granted) < *last {
            return false;
        }
        *last = written.max(*last);
        true
    }
}

fn unable(error: rustls::Error) -> SealError {
    SealError::Unable(error.to_string())
}

fn parsed(full: &str, federation: &str) -> Result<Key, SealError> {
    let key = full.strip_prefix(&key::prefix(federation)).and_then(Key::parse);
    key.ok_or_else(|| SealError::Unreadable(format!("{full} is none of this federation's keys")))
}

fn read(kept: &str) -> Result<Kept, SealError> {
    #[derive(Deserialize)]
    struct Version {
        version: Option<u64>,
        signature: Option<serde::de::IgnoredAny>,
    }
    let unreadable = |error: serde_json::Error| SealError::Unreadable(error.to_string());
    match serde_json::from_str(kept).map_err(unreadable)? {
        Version { signature: None, .. } => Err(SealError::Missing),
        Version { version: Some(VERSION), .. } => serde_json::from_str(kept).map_err(unreadable),
        _ => Err(SealError::Unreadable("it is sealed as an agent to come does it; upgrade this one".to_owned())),
    }
}

/// What is signed. The key has no byte 0, so no two of these are the same bytes.
fn message(full: &str, written: Millis, record: &str) -> Vec<u8> {
    [PURPOSE, &written.to_be_bytes(), full.as_bytes(), b"\0", record.as_bytes()].concat()
}

fn check(certificate: &CertificateDer<'_>, scheme: &str, message: &[u8], signature: &[u8]) -> Result<(), SealError> {
    let (_, _, algorithm) = SCHEMES.iter().find(|(_, name, _)| *name == scheme).ok_or(SealError::Wrong)?;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| SealError::Wrong)?;
    let key = &parsed.public_key().subject_public_key.data;
    UnparsedPublicKey::new(*algorithm, key).verify(message, signature).map_err(|_| SealError::Wrong)
}

/// Whether this host may write `record` at `key`.
fn may(host: &PeerIdentity, key: &Key, record: &str) -> bool {
    match key {
        Key::Host(site, name) | Key::Liveness(site, name) => *site == host.site && *name == host.host,
        Key::Site(site) | Key::Service(site, _) | Key::Latencies(site) => *site == host.site,
        Key::Federation | Key::Token(_) => false,
        // A host that leaves may say so of itself.
        Key::Revoked(id) => match Record::decode(key, record) {
            Ok(Record::Revoked(revoked)) => {
                let own = revoked.site == host.site && revoked.host.as_ref() == Some(&host.host);
                own && *id == revoke::name(&host.site, Some(&host.host))
            }
            _ => false,
        },
        Key::Resource(_) | Key::Name(..) | Key::Prime(_) => true,
    }
}

fn owner(key: &Key) -> String {
    match key {
        Key::Host(site, host) | Key::Liveness(site, host) => format!("{site}/{host}"),
        _ => key.site().map_or_else(|| "the federation's authority".to_owned(), ToString::to_string),
    }
}

/// How much older than what was seen a record may be. What is decided in one transaction needs no such check.
fn granted(key: &Key) -> Millis {
    match key {
        Key::Federation | Key::Token(_) | Key::Revoked(_) => 0,
        Key::Resource(_) | Key::Name(..) | Key::Prime(_) => Millis::MAX,
        _ => GRANTED,
    }
}
