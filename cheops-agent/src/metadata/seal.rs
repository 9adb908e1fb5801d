//! Who wrote a record, as far as it can be proven.

use super::key::Key;

/// Why a record isn't believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("it is not signed")]
    Missing,
    #[error("it can't be read: {0}")]
    Unreadable(String),
    #[error("it is signed by {by}, and only {owner} may write it")]
    Stranger { by: String, owner: String },
    #[error("its signature is wrong")]
    Wrong,
    #[error("its signer's certificate is not of this federation's authority: {0}")]
    Authority(String),
    #[error("its signer's certificate was revoked")]
    Revoked,
    #[error("it was written before one that was already seen here")]
    Older,
    #[error("only a host that signs certificates for the federation can write it, and this one doesn't")]
    NoAuthority,
    #[error("this host has not joined the federation: see cheops site join")]
    NotJoined,
    #[error("this host's key can't sign: {0}")]
    Unable(String),
}

/// Signs records and checks signatures. The peer room has the certificates, so it has the one that counts.
pub trait Seal: Send + Sync {
    /// The record as it is kept at `full`, the whole key.
    ///
    /// # Errors
    /// When it can't be signed.
    fn seal(&self, full: &str, record: &str) -> Result<String, SealError>;

    /// The record inside of what is kept at `full`, if whoever signed it may write `key`.
    ///
    /// # Errors
    /// Why it isn't believed.
    fn open(&self, key: &Key, full: &str, kept: &str) -> Result<String, SealError>;

    /// Whether anything can be signed at all.
    fn writes(&self) -> bool {
        true
    }

    /// Whether what is kept is believed by an authority that is about to go: it has to be sealed anew.
    fn worn(&self, kept: &str) -> bool {
        let _all_last = kept;
        false
    }
}

/// No signatures: for a store that only this site writes, and for agents that talk without certificates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsealed;

impl Seal for Unsealed {
    fn seal(&self, _full: &str, record: &str) -> Result<String, SealError> {
        Ok(record.to_owned())
    }

    fn open(&self, _key: &Key, _full: &str, kept: &str) -> Result<String, SealError> {
        Ok(kept.to_owned())
    }
}

/// Of a host that has not joined: it writes nothing, and knows nobody to believe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stranger;

impl Seal for Stranger {
    fn seal(&self, _full: &str, _record: &str) -> Result<String, SealError> {
        Err(SealError::NotJoined)
    }

    fn open(&self, _key: &Key, _full: &str, _kept: &str) -> Result<String, SealError> {
        Err(SealError::NotJoined)
    }

    fn writes(&self) -> bool {
        false
    }
}
