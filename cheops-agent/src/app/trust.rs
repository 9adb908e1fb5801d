//! Whom this agent believes, as the records of the federation say it: what was revoked, and which authorities there are.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::peers::{self, Ends};
use crate::admin::Agent;
use crate::config::PeerSecurity;
use crate::metadata::Key;
use crate::metadata::record::{Federation, Record};
use crate::metadata::seal::SealError;
use crate::metadata::store::Refusal;
use crate::peer::Security;
use crate::peer::trust::{Joined, Trust, files};

/// Changes that come close together are looked at together.
const PAUSE: Duration = Duration::from_millis(200);

/// Follows the records.
pub struct Trusting {
    agent: Arc<Agent>,
    ends: Ends,
}

impl Trusting {
    pub fn new(agent: Arc<Agent>, ends: Ends) -> Self {
        Self { agent, ends }
    }

    /// Learns what was revoked and which authorities are believed, for ever.
    pub async fn keep(self) {
        let mut changes = self.agent.metadata.changes();
        changes.mark_changed();
        while changes.changed().await.is_ok() {
            self.revoke();
            let trouble = self.follow().err().map(|error| format!("{error:#}"));
            let mut told = self.ends.shown.authority.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(trouble) = trouble.as_ref().filter(|trouble| told.as_ref() != Some(trouble)) {
                tracing::warn!(trouble, "the federation's authorities can't be taken over");
            }
            *told = trouble;
        }
        std::future::pending().await
    }

    /// Nobody is believed any more whose certificates were revoked.
    fn revoke(&self) {
        let view = self.agent.metadata.view();
        let revoked = view.iter().filter_map(|(_, record)| match record {
            Record::Revoked(revoked) => Some(revoked),
            _ => None,
        });
        if !self.ends.revoked.learn(revoked) {
            return;
        }
        tracing::info!("certificates were revoked; their holders are not believed any more");
        self.ends.shown.liveness.forget(&self.ends.revoked);
        self.agent.metadata.recheck();
        let path = peers::revoked(&self.agent.config());
        if let Err(error) = self.ends.revoked.keep(&path) {
            tracing::error!(path = %path.display(), %error, "what was revoked can't be kept over a restart");
        }
    }

    /// Believes the authorities that the federation's record names, where certificates come by joining.
    fn follow(&self) -> anyhow::Result<()> {
        let config = self.agent.config();
        let view = self.agent.metadata.view();
        let security = self.ends.shown.client.security();
        let Some(peer) = &config.peer else { return Ok(()) };
        let (PeerSecurity::Joined { directory }, Security::Tls(trust)) = (&peer.security, &*security) else {
            return Ok(());
        };
        let full = Key::Federation.full(self.agent.metadata.federation());
        ensure!(!matches!(view.refused.get(&full), Some(Refusal::Seal(SealError::Authority(_)))), "{TOO_LATE}");
        let Some(Record::Federation(federation)) = view.get(&Key::Federation).map(|kept| &kept.record) else {
            return Ok(());
        };
        let (authorities, joined) = (certificates(federation)?, Joined::at(directory));
        let bridged = std::fs::read(&joined.bridge).unwrap_or_default() == federation.bridge.concat().as_bytes();
        if authorities.is_empty() || authorities == trust.authorities && bridged {
            return Ok(());
        }
        ensure!(believes(&authorities, trust), "{TOO_LATE}");
        files::replace(&joined.bridge, federation.bridge.concat().as_bytes(), 0o644)?;
        files::replace(&joined.ca, federation.authorities.join("\n").as_bytes(), 0o644)?;
        self.ends.take_up(&config, peer, &self.agent.metadata)?;
        tracing::info!(authorities = authorities.len(), "the federation's authorities changed");
        Ok(())
    }
}

/// What is said to whom a rotation of the authority has passed by.
const TOO_LATE: &str = "the federation's authority was replaced while this host was away, and nobody believes its \
                        certificate any more: ask for a new token (cheops token issue SITE --host HOST, where a host \
                        signs), and here: cheops site leave --force; cheops site join TOKEN";

/// Has the authority replaced, where that has begun and this host has the keys.
pub async fn rotate(agent: Arc<Agent>) {
    /// How soon it is looked again though nothing is known to have changed: certificates end by themselves.
    const LOOK: Duration = Duration::from_secs(5);
    let Some(membership) = agent.membership.clone() else { return std::future::pending().await };
    let mut changes = agent.metadata.changes();
    let mut told = String::new();
    loop {
        let trouble = membership.go_on(false).await.err().map(|error| error.to_string()).unwrap_or_default();
        if trouble != told && !trouble.is_empty() {
            tracing::warn!(trouble, "the federation's authority is being replaced, and that can't go on now");
        }
        told = trouble;
        // Late or soon: either way it is looked again.
        drop(tokio::time::timeout(LOOK, changes.changed()).await);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether an agent with this certificate would be let in by those who believe these authorities.
fn believes(authorities: &[CertificateDer<'static>], trust: &Trust) -> bool {
    authorities.iter().map(crate::peer::trust::fingerprint).any(|fingerprint| fingerprint == trust.signer)
}

fn certificates(federation: &Federation) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let der = |pem: &String| CertificateDer::from_pem_slice(pem.as_bytes()).context("a certificate isn't readable");
    federation.authorities.iter().map(der).collect()
}
