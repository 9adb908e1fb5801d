//! The federation's authority is replaced (see [`crate::metadata::rotation`]): what needs its keys.
//!
//! The new authority and its key are on this host's disk before anybody hears of it. From then on the federation's
//! record says how far it is, and whoever has both keys goes on from there: after a crash, too.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;

use super::sealing::{self, Pen};
use super::tokens::no_signer;
use super::{AUTHORITY_DAYS, Membership, MembershipError};
use crate::metadata::record::{Federation, Millis, Phase, Record, Rotation, now};
use crate::metadata::rotation::{Missing, Step};
use crate::metadata::transaction::{Condition, Outcome, Transaction, Write};
use crate::metadata::{Key, View};
use crate::peer::trust::{Authority, Joined, Trust, Validity, files, fingerprint};

/// How long an earlier authority's fingerprint leads to the present one: longer than any token is good.
const BRIDGE_DAYS: u32 = 365;
/// How long what was written may take to come back.
const ARRIVES: Duration = Duration::from_secs(5);
/// Records that are signed anew in one transaction.
const SOME: usize = 50;

/// How far the replacement of the authority is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// `none`, `spreading`, `renewing`.
    pub state: &'static str,
    /// The fingerprint of the authority that signs now.
    pub authority: String,
    /// That of the new one, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begun: Option<Millis>,
    /// Whether this host has the keys to go on.
    pub drives: bool,
    /// Who is waited for.
    pub missing: Vec<Missing>,
}

impl Membership {
    /// Begins to replace the authority, or tells how far that is. `force` takes the next step without those that are
    /// waited for.
    ///
    /// # Errors
    /// When this host hasn't the keys, or the cluster can't be asked.
    pub async fn rotate(&self, force: bool) -> Result<Progress, MembershipError> {
        let turn = self.turn.lock().await;
        let joined = self.member()?;
        let view = self.store.view();
        let (federation, revision) = federation(&view)?;
        match &federation.rotation {
            None => self.begin(joined, &federation, revision).await?,
            Some(_) if force => {
                let trust = self.load(joined, &joined.certificate)?;
                if drives(&federation, &trust, joined).is_none() {
                    return Err(no_signer(&view));
                }
                drop(turn);
                self.go_on(true).await?;
            }
            Some(_) => {}
        }
        Ok(self.progress())
    }

    /// How far it is, as far as this host knows.
    pub fn progress(&self) -> Progress {
        let view = self.store.view();
        let known = federation(&view).ok().map(|(federation, _)| federation);
        let trust = self.member().ok().and_then(|joined| Some((joined, self.load(joined, &joined.certificate).ok()?)));
        let rotation = known.as_ref().and_then(|federation| federation.rotation.clone());
        let first = known.as_ref().and_then(|federation| certificate(federation.authorities.first()?).ok());
        let drives = match (&known, &trust) {
            (Some(federation), Some((joined, trust))) if rotation.is_some() => {
                drives(federation, trust, joined).is_some()
            }
            (_, Some((joined, trust))) => trust.authority(joined).is_some(),
            _ => false,
        };
        Progress {
            state: match rotation.as_ref().map(|rotation| rotation.phase) {
                None => "none",
                Some(Phase::Spreading) => "spreading",
                Some(Phase::Renewing) => "renewing",
            },
            authority: first.as_ref().map(fingerprint).unwrap_or_default(),
            missing: rotation.as_ref().map(|rotation| rotation.missing(&view, now())).unwrap_or_default(),
            to: rotation.as_ref().map(|rotation| rotation.to.clone()),
            begun: rotation.map(|rotation| rotation.begun),
            drives,
        }
    }

    /// Takes the next step, if it is due and this host can. Whether anything changed.
    ///
    /// # Errors
    /// When the cluster can't be asked; then it is due again.
    pub async fn go_on(&self, force: bool) -> Result<bool, MembershipError> {
        let _turn = self.turn.lock().await;
        let Ok(joined) = self.member() else { return Ok(false) };
        let view = self.store.view();
        let Ok((federation, revision)) = federation(&view) else { return Ok(false) };
        let Some(rotation) = &federation.rotation else {
            forget_former(joined, &federation).map_err(|source| super::init::disk(joined, source))?;
            return Ok(false);
        };
        let trust = self.load(joined, &joined.certificate)?;
        let Some(Keys { new, .. }) = drives(&federation, &trust, joined) else { return Ok(false) };
        let step = rotation.step(&view, now(), force);
        let Some(next) = federation.after(&step, now()) else { return Ok(false) };
        if step == Step::Finish {
            self.sign_anew(&view, &trust, &new).await?;
        }
        self.put(next, revision).await?;
        tell(rotation, &step);
        Ok(true)
    }

    async fn begin(&self, joined: &Joined, federation: &Federation, revision: i64) -> Result<(), MembershipError> {
        let own = &self.identity.federation;
        let trust = self.load(joined, &joined.certificate)?;
        let none = || no_signer(&self.store.view());
        let (old, key) = trust.authority(joined).ok_or_else(none)?;
        // What doesn't sign now isn't replaced.
        if federation.authorities.len() != 1 || certificate(federation.authorities.first().ok_or_else(none)?)? != old {
            return Err(none());
        }
        let (new, bridge) = match left(joined, &old) {
            Some(left) => left,
            None => {
                let authority = sealing::authority(&(old.clone(), key))?;
                let new = Authority::new(own, Validity::days(AUTHORITY_DAYS))?;
                let bridge = authority.vouch(&new, own, Validity::days(BRIDGE_DAYS))?;
                let keys = format!("{}{}", authority.key(), new.key());
                let coming = format!("{}{bridge}", new.certificate());
                let disk = |source| super::init::disk(joined, source);
                files::replace(&joined.authority, keys.as_bytes(), 0o600).map_err(disk)?;
                files::replace(&joined.coming, coming.as_bytes(), 0o644).map_err(disk)?;
                (new.certificate().to_owned(), bridge)
            }
        };
        let both = (fingerprint(&old), fingerprint(&certificate(&new)?));
        let bridge = vec![bridge, crate::peer::trust::pem(&old)];
        self.put(federation.rotating(&new, both, bridge, now()), revision).await?;
        tracing::info!("another authority comes to be believed besides the federation's");
        Ok(())
    }

    /// Has what the old authority signed be signed by the new one: tokens and revocations hold on.
    async fn sign_anew(&self, view: &View, trust: &Trust, new: &Pen) -> Result<(), MembershipError> {
        if trust.authorities.first() != Some(&new.0) {
            // This host itself hasn't taken it over yet.
            return Err(MembershipError::Meanwhile);
        }
        let worn: Vec<(Key, i64, Record)> = authority_s_own(view)
            .filter_map(|key| {
                let kept = view.get(key)?;
                Some((key.clone(), kept.revision?, kept.record.clone()))
            })
            .collect();
        for some in worn.chunks(SOME) {
            let when = some.iter().map(|(key, revision, _)| Condition::Unchanged(key.clone(), *revision)).collect();
            let then = some.iter().map(|(key, _, record)| Write::Put(key.clone(), record.clone())).collect();
            self.decide(Transaction { when, then }).await?;
        }
        let mut changes = self.store.changes();
        let settled =
            async { while authority_s_own(&self.store.view()).next().is_some() && changes.changed().await.is_ok() {} };
        tokio::time::timeout(ARRIVES, settled).await.map_err(|_| MembershipError::Meanwhile)
    }

    async fn put(&self, federation: Federation, revision: i64) -> Result<(), MembershipError> {
        self.decide(Transaction {
            when: vec![Condition::Unchanged(Key::Federation, revision)],
            then: vec![Write::Put(Key::Federation, Record::Federation(federation))],
        })
        .await
    }

    async fn decide(&self, transaction: Transaction) -> Result<(), MembershipError> {
        match self.store.transact(transaction).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Conflict => Err(MembershipError::Meanwhile),
        }
    }
}

/// What only an authority signs, and the old one has.
fn authority_s_own(view: &View) -> impl Iterator<Item = &Key> {
    view.worn().filter(|key| matches!(key, Key::Token(_) | Key::Revoked(_)))
}

/// What is known of the federation, and since when.
fn federation(view: &View) -> Result<(Federation, i64), MembershipError> {
    let kept = view.get(&Key::Federation).ok_or(MembershipError::Meanwhile)?;
    match (&kept.record, kept.revision) {
        (Record::Federation(federation), Some(revision)) => Ok((federation.clone(), revision)),
        _ => Err(MembershipError::Meanwhile),
    }
}

fn certificate(pem: &str) -> Result<CertificateDer<'static>, MembershipError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| MembershipError::Malformed("an authority's certificate"))
}

/// Both authorities' keys.
struct Keys {
    new: Pen,
}

/// The keys, if this host has both.
fn drives(federation: &Federation, trust: &Trust, joined: &Joined) -> Option<Keys> {
    let rotation = federation.rotation.as_ref()?;
    // The new one isn't believed here before this host itself has taken the record over.
    let held = trust.held(joined);
    let of = |wanted: &str| held.iter().find(|(authority, _)| fingerprint(authority) == wanted);
    let (new, _old) = (of(&rotation.to)?, of(&rotation.from)?);
    Some(Keys { new: (new.0.clone(), new.1.clone_key()) })
}

/// The authority that an earlier try left; it may have been told already.
fn left(joined: &Joined, old: &CertificateDer<'static>) -> Option<(String, String)> {
    let coming = std::fs::read(&joined.coming).ok()?;
    let all: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&coming).filter_map(Result::ok).collect();
    let [new, bridge] = all.as_slice() else { return None };
    if new == old {
        return None;
    }
    keys(&joined.authority)
        .iter()
        .any(|key| crate::peer::trust::is_key_of(key, new))
        .then(|| (crate::peer::trust::pem(new), crate::peer::trust::pem(bridge)))
}

fn keys(path: &Path) -> Vec<PrivateKeyDer<'static>> {
    let pem = std::fs::read(path).unwrap_or_default();
    PrivateKeyDer::pem_slice_iter(&pem).filter_map(Result::ok).collect()
}

/// Takes the key of the authority away that was replaced.
fn forget_former(joined: &Joined, federation: &Federation) -> std::io::Result<()> {
    let (Some(first), Some(former)) = (federation.authorities.first(), federation.bridge.last()) else {
        return Ok(());
    };
    let (Ok(first), Ok(former)) = (certificate(first), certificate(former)) else { return Ok(()) };
    let keys = keys(&joined.authority);
    let of =
        |authority: &CertificateDer<'static>| keys.iter().find(|key| crate::peer::trust::is_key_of(key, authority));
    let (Some(key), Some(_)) = (of(&first), of(&former)) else { return Ok(()) };
    let authority = Authority::of(&first, key).map_err(std::io::Error::other)?;
    joined.forget_coming()?;
    files::replace(&joined.authority, authority.key().as_bytes(), 0o600)
}

fn tell(rotation: &Rotation, step: &Step) {
    match step {
        Step::Renew => tracing::info!(to = rotation.to, "the new authority signs from now on"),
        Step::Finish => tracing::info!(from = rotation.from, "the old authority is believed no more"),
        Step::Wait(_) => {}
    }
}
