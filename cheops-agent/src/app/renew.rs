//! Certificates that came by joining are renewed long before they expire.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::time::{Instant, sleep, timeout};

use super::peers::Ends;
use crate::admin::Agent;
use crate::config::{PeerConfig, PeerSecurity};
use crate::metadata::Key;
use crate::metadata::record::{self, Record};
use crate::names::SiteName;
use crate::peer::trust::{Authority, Joined, Shown, Trust, Validity, Wanted, fingerprint};
use crate::peer::{Client, PeerIdentity, Security, Signs};

/// The part of a certificate's life after which one of an authority that is about to go is better than none.
const LATE: f64 = 0.7;
/// For one agent's answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether it is time, unless a certificate's life is short.
const LOOK: Duration = Duration::from_secs(30);
/// The same while the authority is being replaced.
const ROTATING: Duration = Duration::from_secs(1);
/// After a first failure; doubled with each further one.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest, unless a certificate's life is short.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Signs for other hosts, where this host has the key of an authority.
pub struct Signer(pub Arc<Agent>);

impl Signs for Signer {
    fn sign(&self, whom: &PeerIdentity, request: &str) -> Result<String, String> {
        let config = self.0.config();
        let peer = config.peer.as_ref().ok_or("nobody signs here")?;
        let client = self.0.peers.as_ref().map(|peers| &peers.client);
        let (trust, joined) = client.and_then(|client| joined(client, peer)).ok_or("nobody signs here")?;
        let certificate = issue(&trust, &joined, peer, whom, request).map_err(|error| format!("{error:#}"))?;
        tracing::info!(%whom, "signed another certificate");
        Ok(certificate)
    }
}

fn issue(
    trust: &Trust,
    joined: &Joined,
    peer: &PeerConfig,
    whom: &PeerIdentity,
    request: &str,
) -> anyhow::Result<String> {
    let (authority, key) = trust.authority(joined).context("this host doesn't sign")?;
    let authority = Authority::of(&authority, &key)?;
    Ok(authority.sign(whom, request, Validity::lasting(peer.certificate_life))?)
}

/// The certificates that came by joining.
fn joined(client: &Client, peer: &PeerConfig) -> Option<(Arc<Trust>, Joined)> {
    match (&peer.security, &*client.security()) {
        (PeerSecurity::Joined { directory }, Security::Tls(trust)) => Some((trust.clone(), Joined::at(directory))),
        _ => None,
    }
}

/// Looks after this host's own certificate.
pub struct Renewal {
    pub agent: Arc<Agent>,
    pub ends: Ends,
}

impl Renewal {
    /// Renews for ever.
    pub async fn keep(self) {
        let mut failures = 0;
        // Drawn once for each certificate, so that hosts that joined together don't come together again.
        let mut drawn = (String::new(), 0.0);
        loop {
            let config = self.agent.config();
            let Some((trust, joined)) = config.peer.as_ref().and_then(|peer| joined(&self.ends.shown.client, peer))
            else {
                sleep(SHORTEST_PAUSE).await;
                continue;
            };
            if drawn.0 != trust.shown.serial {
                drawn = (trust.shown.serial.clone(), rand::random_range(0.60..0.67));
            }
            let life = trust.shown.life();
            if !is_due(&trust.shown, drawn.1) && !self.wants_another(&trust) {
                let look = if trust.authorities.len() > 1 { ROTATING } else { LOOK };
                self.wait((life / 40).clamp(Duration::from_millis(100), look)).await;
                continue;
            }
            let renewed = self.renew(&trust, &joined).await;
            self.tell(renewed.as_ref().err(), failures);
            failures = renewed.map_or(failures + 1, |()| 0);
            if failures > 0 {
                sleep(pause(failures, life)).await;
            }
        }
    }

    /// Waits for so long, or until others come to be believed: an authority is replaced within seconds, then, and not all
    /// hosts come to the one that signs at the same moment.
    async fn wait(&self, look: Duration) {
        if timeout(look, self.ends.taken_up.notified()).await.is_ok() {
            sleep(look.min(ROTATING).mul_f64(rand::random_range(0.0..1.0))).await;
        }
    }

    /// Whether another authority signs now than the one that signed this host's certificate.
    fn wants_another(&self, trust: &Trust) -> bool {
        trust.authorities.first().is_some_and(|first| fingerprint(first) != trust.signer)
    }

    fn tell(&self, error: Option<&anyhow::Error>, failures: u32) {
        let trouble = error.map(|error| format!("{error:#}"));
        if let Some(trouble) = trouble.as_ref().filter(|_| failures == 0) {
            tracing::warn!(trouble, "this host's certificate is due for renewal, and isn't renewed");
        }
        *self.ends.shown.renewal.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    async fn renew(&self, trust: &Trust, joined: &Joined) -> anyhow::Result<()> {
        let config = self.agent.config();
        let peer = config.peer.as_ref().context("this host has no peers")?;
        let wanted = Wanted::new()?;
        let certificate = self.certificate(trust, joined, peer, &wanted.request).await?;
        let shown = trust.shown_of(&certificate).map_err(anyhow::Error::msg)?;
        ensure!(shown.identity == trust.identity, "a certificate came that is for {}", shown.identity);
        let turn = match &self.agent.membership {
            Some(membership) => Some(membership.turn().await),
            None => None,
        };
        ensure!(joined.is_whole(), "this host has left its federation");
        joined.replace(&certificate, &wanted.key)?;
        drop(turn);
        self.ends.take_up(&config, peer, &self.agent.metadata)?;
        tracing::info!(serial = shown.serial, "this host's certificate was renewed");
        Ok(())
    }

    /// A certificate by the authority that signs now, or by another that is believed if none can be had and it is time.
    async fn certificate(
        &self,
        trust: &Trust,
        joined: &Joined,
        peer: &PeerConfig,
        request: &str,
    ) -> anyhow::Result<String> {
        let mut other = issue(trust, joined, peer, &trust.identity, request).ok();
        if other.as_ref().is_some_and(|own| trust.is_by_first(own)) {
            return other.context("there is one");
        }
        let mut reasons = Vec::new();
        for (site, address) in self.signers(peer) {
            let deadline = Instant::now() + PATIENCE;
            match self.ends.shown.client.renew(&site, &address, request.to_owned(), deadline).await {
                Ok(certificate) if trust.is_by_first(&certificate) => return Ok(certificate),
                Ok(certificate) if trust.shown_of(&certificate).is_ok() => {
                    reasons.push(format!("{address}: it hasn't the key of the authority that signs now"));
                    other.get_or_insert(certificate);
                }
                Ok(_) => reasons.push(format!("{address}: its certificate is by an authority that is not known here")),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        if let Some(other) = other.filter(|_| is_due(&trust.shown, LATE)) {
            return Ok(other);
        }
        if reasons.is_empty() {
            bail!("no agent is known that signs");
        }
        bail!("{}", reasons.join("; "))
    }

    /// Agents that say that they sign; if none does, all.
    fn signers(&self, peer: &PeerConfig) -> Vec<(SiteName, String)> {
        let own = peer.listen.to_string();
        let view = self.agent.metadata.view();
        let mut known: Vec<(SiteName, String)> = Vec::new();
        for (key, record) in view.iter() {
            if let (Key::Host(site, _), Record::Host(host)) = (key, record)
                && host.signs
            {
                known.extend(host.peers.iter().map(|address| (site.clone(), address.clone())));
            }
        }
        if known.iter().all(|(_, address)| *address == own) {
            let snapshot = self.agent.snapshot();
            let all = snapshot.sites.values();
            known.extend(all.flat_map(|site| site.peers.iter().map(|address| (site.name.clone(), address.clone()))));
        }
        known.retain(|(_, address)| *address != own);
        known
    }
}

fn is_due(shown: &Shown, part: f64) -> bool {
    let after = shown.life().mul_f64(part).as_millis();
    record::now() >= shown.issued.saturating_add(u64::try_from(after).unwrap_or(u64::MAX))
}

/// Some tries are left in the last third, however long or short it is.
fn pause(failures: u32, life: Duration) -> Duration {
    let longest = LONGEST_PAUSE.min(life / 30).max(Duration::from_millis(50));
    let shortest = SHORTEST_PAUSE.min(longest);
    let whole = shortest.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    whole.mul_f64(rand::random_range(0.5..1.0))
}
