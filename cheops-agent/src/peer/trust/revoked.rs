//! Certificates that are not believed any more.
//!
//! What was revoked stays so until its end is past, also when the record is gone: whoever can take records away (the
//! metadata cluster has no signatures for that) can't bring a host back.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Shown, files};
use crate::metadata::record::{Millis, Revoked, now};
use crate::metadata::revoke::LONGEST_LIFE;
use crate::names::{HostName, SiteName};

/// More than are ever revoked within the life of a certificate.
const MOST: usize = 10_000;
/// How long a revocation is kept after its end, in milliseconds, since clocks differ.
const LATE: Millis = 86_400_000;

/// By whose certificates they are; without a host: of all of the site.
pub type Known = BTreeMap<(SiteName, Option<HostName>), Revoked>;

/// What is revoked. Shared by all who check certificates.
#[derive(Debug)]
pub struct Revocations {
    known: watch::Sender<Arc<Known>>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self { known: watch::Sender::new(Arc::default()) }
    }
}

impl Revocations {
    /// What an earlier agent knew, if it left the file. One that can't be read is no reason not to run: the records
    /// tell it again.
    pub fn read(path: &Path) -> Self {
        let read = std::fs::read(path).ok();
        let known: Vec<Revoked> = read.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let revocations = Self::default();
        revocations.learn(known.iter());
        revocations
    }

    /// Keeps what is known for the next agent.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn keep(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(&self.known.borrow().values().collect::<Vec<_>>())?;
        files::replace(path, &text, 0o644)
    }

    /// Adds what is revoked. Whether anything of it is new.
    pub fn learn<'a>(&self, revoked: impl Iterator<Item = &'a Revoked>) -> bool {
        let now = now();
        let mut next = (**self.known.borrow()).clone();
        next.retain(|_, revoked| end(revoked) > now);
        for revoked in revoked.filter(|revoked| end(revoked) > now) {
            let whose = (revoked.site.clone(), revoked.host.clone());
            let newer = next.get(&whose).is_none_or(|known| known.since < revoked.since);
            if newer && (next.contains_key(&whose) || next.len() < MOST) {
                next.insert(whose, revoked.clone());
            }
        }
        self.known.send_if_modified(|known| {
            let changed = **known != next;
            *known = Arc::new(next);
            changed
        })
    }

    /// Whether this certificate is not to be believed.
    pub fn hold(&self, shown: &Shown) -> bool {
        hold(&self.known.borrow(), shown)
    }

    /// Resolves when this certificate is revoked.
    pub async fn come(&self, shown: &Shown) {
        let mut known = self.known.subscribe();
        if known.wait_for(|known| hold(known, shown)).await.is_err() {
            std::future::pending().await
        }
    }

    /// Whether any certificate of this host was revoked, as far as it is kept.
    pub fn concern(&self, site: &SiteName, host: &HostName) -> bool {
        of(&self.known.borrow(), site, host).next().is_some()
    }

    /// Until when what this host was given is revoked, as far as it is kept.
    pub fn since(&self, site: &SiteName, host: &HostName) -> Option<Millis> {
        of(&self.known.borrow(), site, host).map(|revoked| revoked.since).max()
    }

    /// Tells when something is revoked.
    pub fn changes(&self) -> watch::Receiver<Arc<Known>> {
        self.known.subscribe()
    }
}

fn of<'a>(known: &'a Known, site: &SiteName, host: &HostName) -> impl Iterator<Item = &'a Revoked> + use<'a> {
    let whose = [(site.clone(), None), (site.clone(), Some(host.clone()))];
    whose.into_iter().filter_map(|whose| known.get(&whose))
}

fn hold(known: &Known, shown: &Shown) -> bool {
    of(known, &shown.identity.site, &shown.identity.host).any(|revoked| shown.issued <= revoked.since)
}

fn end(revoked: &Revoked) -> Millis {
    let end = revoked.expires.unwrap_or_else(|| revoked.since.saturating_add(LONGEST_LIFE));
    end.saturating_add(LATE)
}
