//! How this host's certificate stands.

use std::sync::PoisonError;

use serde::Serialize;

use super::Agent;
use crate::metadata::record::now;
use crate::observe::{Check, Grade};
use crate::peer::Security;

/// This host's certificate.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Certificate {
    /// In hexadecimal.
    serial: String,
    /// The fingerprint of its authority: SHA-256 in hexadecimal.
    authority: String,
    /// Negative when it has expired.
    expires_seconds: i64,
    /// How many authorities are believed; more than one while they are replaced.
    authorities: usize,
    /// Why it isn't renewed, though it is due.
    trouble: Option<String>,
    /// What part of its life is left.
    #[serde(skip)]
    left: f64,
}

/// The certificate, if agents talk with certificates and this host has one.
pub fn of(agent: &Agent) -> Option<Certificate> {
    let peers = agent.peers.as_ref()?;
    let security = peers.client.security();
    let Security::Tls(trust) = &*security else { return None };
    let expires_seconds = trust.not_after.saturating_sub(i64::try_from(now() / 1000).unwrap_or(i64::MAX));
    Some(Certificate {
        serial: trust.shown.serial.clone(),
        authority: trust.signer.clone(),
        expires_seconds,
        authorities: trust.authorities.len(),
        trouble: peers.renewal.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        left: expires_seconds as f64 / trust.shown.life().as_secs_f64().max(1.0),
    })
}

/// What is said of it by `check`.
pub fn check(agent: &Agent) -> Option<Check> {
    /// A certificate that has less of its life left should have been renewed.
    const LATE: f64 = 1.0 / 6.0;
    let certificate = of(agent)?;
    let days = certificate.expires_seconds as f64 / 86_400.0;
    let remedy = "A joined host renews it itself, by an agent that signs: see the links to those. Else issue another, and \
                  reload";
    let not = |grade, found| Check::not("certificate", grade, found, remedy);
    Some(match certificate.trouble {
        _ if certificate.expires_seconds <= 0 => not(Grade::Fail, "it has expired: no peer talks to this agent".into()),
        Some(trouble) => not(Grade::Warn, format!("it expires in {days:.1} days, and isn't renewed: {trouble}")),
        None if certificate.left < LATE => not(Grade::Warn, format!("it expires in {days:.1} days")),
        None => Check::ok("certificate", format!("good for {days:.1} days")),
    })
}
