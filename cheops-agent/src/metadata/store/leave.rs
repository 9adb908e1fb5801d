//! A host that leaves writes nothing more: what it has removed would else be written again by what tells of it. Nor does
//! one that makes a federation, until it is made.

use std::time::Duration;

use super::{Inner, Store, StoreError};
use crate::names::SiteName;

impl Store {
    /// Whether this host may write now.
    pub(super) fn may_write(&self, inner: &Inner) -> Result<(), StoreError> {
        match (inner.hushed, self.seal.load().writes()) {
            (true, _) => Err(StoreError::Changing),
            (false, false) => Err(StoreError::NotJoined),
            (false, true) => Ok(()),
        }
    }

    /// From now on nothing is taken to be written, or again whatever the seal allows.
    pub fn hush(&self, hushed: bool) {
        self.inner().hushed = hushed;
        // What was told in vain is told again.
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Waits until nothing of the site waits to be written: neither here nor on its way. Whether that came to pass.
    pub async fn written(&self, site: &SiteName, within: Duration) -> bool {
        let mut changes = self.changes();
        let waits = || self.inner().pending.iter().any(|pending| pending.write.key().site() == Some(site));
        let done = async { while waits() && changes.changed().await.is_ok() {} };
        tokio::time::timeout(within, done).await.is_ok()
    }

    /// Drops every write that waits: it was for a federation that this host has left.
    pub fn forget_writes(&self) {
        let mut inner = self.inner();
        inner.pending.clear();
        inner.file.all_again();
        drop(inner);
        self.recheck();
    }
}
