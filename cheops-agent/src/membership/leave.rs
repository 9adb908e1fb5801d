//! Hosts and sites go.

use std::collections::BTreeSet;
use std::time::Duration;

use super::tokens::hosts;
use super::{Membership, MembershipError, Standing, lives, signers};
use crate::metadata::record::{Record, now};
use crate::metadata::transaction::{Outcome, Transaction, Write};
use crate::metadata::truth::TruthError;
use crate::metadata::{Key, View, revoke};
use crate::names::{HostName, SiteName};
use crate::peer::trust::Joined;

/// Records that one transaction may take away; etcd takes 128 operations by default.
const SOME: usize = 100;

/// How long the site's other hosts are waited for.
const HANDED: Duration = Duration::from_secs(5);

/// How a host stands that has left.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Left {
    #[serde(flatten)]
    pub standing: Standing,
    /// Whether its records are gone and its certificates revoked. If not, that is left to `remove` and `revoke`.
    pub revoked: bool,
}

impl Membership {
    /// Takes this host out of the federation: its certificates are revoked, its records removed, and then its files. It goes
    /// on with its own site.
    ///
    /// # Errors
    /// When it is the only one that signs, or the cluster can't be asked, unless `force`: then its certificates go in any
    /// case, and its records stay for `remove`.
    pub async fn leave(&self, force: bool) -> Result<Left, MembershipError> {
        let _turn = self.turn.lock().await;
        let joined = self.member()?;
        if !force && self.pen(joined).is_some() && self.is_only_signer(&self.store.view()) {
            return Err(MembershipError::OnlySigner);
        }
        // What tells of this host is silent from now on, so that nothing comes back that is removed.
        self.store.hush(true);
        let revoked = self.take_leave(joined, force).await;
        self.store.hush(false);
        let revoked = revoked?;
        tracing::info!(federation = self.identity.federation, revoked, "this host has left the federation");
        Ok(Left { standing: self.standing(), revoked })
    }

    /// Whether what this host has in the cluster is revoked and gone.
    async fn take_leave(&self, joined: &Joined, force: bool) -> Result<bool, MembershipError> {
        let revoked = match self.take_away().await {
            Ok(()) => true,
            Err(error) if force => {
                tracing::warn!(%error, "this host's certificates stay good, and its records stay, until others see to it");
                false
            }
            Err(error) => return Err(error),
        };
        joined.remove().map_err(|source| super::init::disk(joined, source))?;
        self.renew()?;
        self.store.forget_writes();
        Ok(revoked)
    }

    /// Revokes this host's certificates and removes its records, when nothing of its site is on its way any more.
    async fn take_away(&self) -> Result<(), MembershipError> {
        let (site, host) = (&self.identity.site, &self.identity.host);
        if !self.store.written(site, self.patience).await {
            let why = "what this host wrote before it leaves doesn't arrive there".to_owned();
            return Err(TruthError::Unreachable(why).into());
        }
        let view = self.store.view();
        if is_last(&view, site, host) {
            // Nobody is left who would believe or miss anything: another federation may begin there.
            return self.do_all(view.iter().map(|(key, _)| Write::Remove(key.clone())).collect()).await;
        }
        if hosts(&view, site).any(|other| other != host) {
            self.do_all(own_keys(&view, site, host).into_iter().map(Write::Remove).collect()).await?;
            self.handed_over().await;
        }
        let view = self.store.view();
        let mut writes = revoke::writes(&view, site, Some(host), now());
        writes.extend(own_keys(&view, site, host).into_iter().map(Write::Remove));
        self.do_all(writes).await
    }

    /// Waits a moment until the site's other hosts have said anew what this one had said for the site: from its revocation
    /// on that isn't believed any more.
    async fn handed_over(&self) {
        let mut changes = self.store.changes();
        let (site, host) = (&self.identity.site, &self.identity.host);
        let names = |(key, record): (&Key, &Record)| {
            let own = key.site() == Some(site);
            matches!(record, Record::Service(service) if own && service.hosts.contains_key(host))
        };
        let handed = async { while self.store.view().iter().any(names) && changes.changed().await.is_ok() {} };
        if tokio::time::timeout(self.patience.min(HANDED), handed).await.is_err() {
            tracing::warn!("the site's other hosts don't say anew what services it has; they will when they are back");
        }
    }

    /// Takes a site away that is gone, and believes its certificates no more.
    ///
    /// # Errors
    /// When it lives, is this host's own, is unknown, or this host doesn't sign.
    pub async fn remove(&self, site: &SiteName, force: bool) -> Result<Vec<HostName>, MembershipError> {
        let _turn = self.turn.lock().await;
        if *site == self.identity.site {
            return Err(MembershipError::OwnSite(site.clone()));
        }
        let joined = self.member()?;
        let view = self.store.view();
        let gone: Vec<HostName> = hosts(&view, site).cloned().collect();
        let keys: Vec<Key> = view.iter().map(|(key, _)| key).filter(|key| key.site() == Some(site)).cloned().collect();
        if keys.is_empty() {
            return Err(MembershipError::NoSite(site.clone()));
        }
        let living: Vec<&str> = gone.iter().filter(|host| lives(&view, site, host)).map(HostName::as_str).collect();
        if !living.is_empty() {
            return Err(MembershipError::Lives { site: site.clone(), hosts: living.join(", ") });
        }
        if !force {
            return Err(MembershipError::Force(site.clone()));
        }
        if self.pen(joined).is_none() {
            return Err(super::tokens::no_signer(&view));
        }
        // First nobody believes it any more, then it is forgotten.
        let mut writes = revoke::writes(&view, site, None, now());
        writes.extend(keys.into_iter().map(Write::Remove));
        self.do_all(writes).await?;
        tracing::info!(%site, hosts = gone.len(), "a site was removed");
        Ok(gone)
    }

    fn is_only_signer(&self, view: &View) -> bool {
        let own = Key::Host(self.identity.site.clone(), self.identity.host.clone());
        signers(view).into_iter().all(|(key, _)| *key == own)
    }

    async fn do_all(&self, writes: Vec<Write>) -> Result<(), MembershipError> {
        for some in writes.chunks(SOME) {
            match self.store.transact(Transaction { when: Vec::new(), then: some.to_vec() }).await? {
                Outcome::Done(_) => {}
                Outcome::Conflict => return Err(MembershipError::Meanwhile),
            }
        }
        Ok(())
    }
}

/// Whether the federation has no other host.
fn is_last(view: &View, site: &SiteName, host: &HostName) -> bool {
    let other = |key: &Key| matches!(key, Key::Host(of, name) if (of, name) != (site, host));
    view.complete && !view.iter().any(|(key, _)| other(key))
}

/// What a host takes with it; the last of its site takes all of the site's.
fn own_keys(view: &View, site: &SiteName, host: &HostName) -> Vec<Key> {
    let others: BTreeSet<&HostName> = hosts(view, site).filter(|other| *other != host).collect();
    let goes = |key: &&Key| match key {
        Key::Host(_, of) | Key::Liveness(_, of) => of == host,
        _ => others.is_empty(),
    };
    let mut keys: Vec<Key> =
        view.iter().map(|(key, _)| key).filter(|key| key.site() == Some(site)).filter(goes).cloned().collect();
    // Liveness goes first, so that nothing of it is left that lives.
    keys.sort_by_key(|key| !key.leased());
    keys
}
