//! Certificates that are there but not taken up yet, and the key of the authority.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Membership, MembershipError};
use crate::peer::trust::{Authority, Joined, Revocations, Signed, Trust, Written};

/// What outlives a seal.
#[derive(Clone, Debug, Default)]
pub struct Sealing {
    pub revoked: Arc<Revocations>,
    pub written: Arc<Written>,
}

/// An authority's certificate and key.
pub(super) type Pen = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Membership {
    /// The certificates as they are on the disk, with this host's at that place.
    pub(super) fn load(&self, joined: &Joined, certificate: &Path) -> Result<Trust, MembershipError> {
        let revoked = self.sealing.revoked.clone();
        Ok(Trust::load(self.identity.clone(), &joined.ca, certificate, &joined.key, revoked)?)
    }

    /// The authority that this host can sign for, if any.
    pub(super) fn pen(&self, joined: &Joined) -> Option<Pen> {
        self.load(joined, &joined.certificate).ok()?.authority(joined)
    }

    /// Writes records as this host with these certificates, before they are taken up.
    pub(super) fn seal_with(&self, joined: &Joined, trust: &Trust) -> Result<(), MembershipError> {
        let signed = Signed::new(trust, trust.held(joined), self.sealing.written.clone());
        self.store.replace_seal(Box::new(signed.map_err(|error| MembershipError::Renew(error.to_string()))?));
        Ok(())
    }
}

/// The authority as it signs.
pub(super) fn authority((certificate, key): &Pen) -> Result<Authority, MembershipError> {
    Ok(Authority::of(certificate, key)?)
}
