//! Hosts and sites go.

use std::collections::BTreeSet;

use super::tokens::hosts;
use super::{Membership, MembershipError, Standing, lives, signers};
use crate::metadata::record::now;
use crate::metadata::truth::{Outcome, Transaction, Write};
use crate::metadata::{Key, View, revoke};
use crate::names::{HostName, SiteName};

/// Records that one transaction may take away; etcd takes 128 operations by default.
const SOME: usize = 100;

impl Membership {
    /// Takes this host out of the federation: its records, and then its certificates. It goes on with its own site.
    ///
    /// # Errors
    /// When it is the only one that signs, or the cluster can't be asked, unless `force`: then its certificates go in any
    /// case, and its records stay for `remove`.
    pub async fn leave(&self, force: bool) -> Result<Standing, MembershipError> {
        let _turn = self.turn.lock().await;
        let joined = self.member()?;
        let view = self.store.view();
        if !force && self.pen(joined).is_some() && self.is_only_signer(&view) {
            return Err(MembershipError::OnlySigner);
        }
        match self.take_away(own_keys(&view, &self.identity.site, &self.identity.host)).await {
            Ok(()) => {}
            Err(error) if force => tracing::warn!(%error, "this host's records stay until its site is removed"),
            Err(error) => return Err(error),
        }
        joined.remove().map_err(|source| super::init::disk(joined, source))?;
        tracing::info!(federation = self.identity.federation, "this host has left the federation");
        self.renew()?;
        Ok(self.standing())
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

    async fn take_away(&self, keys: Vec<Key>) -> Result<(), MembershipError> {
        self.do_all(keys.into_iter().map(Write::Remove).collect()).await
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
