//! Whom this agent believes, as the records of the federation say it: what was revoked, and which authorities there are.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::peers::{self, Ends};
use crate::admin::Agent;
use crate::config::PeerSecurity;
use crate::metadata::Key;
use crate::metadata::record::{Federation, Record};
use crate::peer::Security;
use crate::peer::trust::{Joined, Trust, files};

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
        let mut told = String::new();
        while changes.changed().await.is_ok() {
            self.revoke();
            let trouble = self.follow().err().map(|error| format!("{error:#}")).unwrap_or_default();
            if trouble != told {
                tracing::warn!(trouble, "the federation's authorities can't be taken over");
                told = trouble;
            }
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
        let Some(Record::Federation(federation)) = view.get(&Key::Federation).map(|kept| &kept.record) else {
            return Ok(());
        };
        let authorities = certificates(federation)?;
        if authorities.is_empty() || authorities == trust.authorities {
            return Ok(());
        }
        ensure!(
            believes(&authorities, trust),
            "this host's certificate is of an authority that the federation doesn't believe any more; join it again"
        );
        files::replace(&Joined::at(directory).ca, federation.authorities.join("\n").as_bytes(), 0o644)?;
        self.ends.take_up(&config, peer, &self.agent.metadata)?;
        tracing::info!(authorities = authorities.len(), "the federation's authorities changed");
        Ok(())
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
