//! Transactions: what needs one truth among sites.

use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};
use tokio::time::timeout;

use super::lease::Lease;
use super::trouble::Trouble;
use crate::metadata::bounds;
use crate::metadata::store::Store;
use crate::metadata::transaction::{Condition, Outcome, Transaction, Write};
use crate::metadata::truth::TruthError;

/// How long a transaction may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long is waited until this agent has seen what was decided.
const SEEN: Duration = Duration::from_secs(2);

/// Does it or tells that it wasn't done, in bounded time.
pub async fn decide(
    client: &Client,
    store: &Store,
    lease: &Lease,
    transaction: Transaction,
) -> Result<Outcome, TruthError> {
    let when: Vec<Compare> = transaction.when.iter().map(|condition| compare(store, condition)).collect();
    let mut then = Vec::new();
    for write in &transaction.then {
        then.push(operation(client, store, lease, write).await?);
    }
    let asked = timeout(PATIENCE, client.kv_client().txn(Txn::new().when(when).and_then(then))).await;
    let answer = asked.map_err(|_| Trouble::silence(PATIENCE))?.map_err(Trouble::from)?;
    if !answer.succeeded() {
        return Ok(Outcome::Conflict);
    }
    let Some(header) = answer.header() else {
        return Err(TruthError::Unknown("etcd's answer has no revision".to_owned()));
    };
    seen(store, header.revision()).await;
    Ok(Outcome::Done(header.revision()))
}

fn compare(store: &Store, condition: &Condition) -> Compare {
    match condition {
        Condition::Absent(key) => Compare::version(key.full(store.federation()), CompareOp::Equal, 0),
        Condition::Unchanged(key, revision) => {
            Compare::mod_revision(key.full(store.federation()), CompareOp::Equal, *revision)
        }
    }
}

async fn operation(client: &Client, store: &Store, lease: &Lease, write: &Write) -> Result<TxnOp, TruthError> {
    let full = write.key().full(store.federation());
    match write {
        Write::Remove(_) => Ok(TxnOp::delete(full, None)),
        Write::Put(key, record) => {
            let value = store.sealed(key, record)?;
            bounds::fits(&full, &value).map_err(|why| TruthError::Refused(why.to_string()))?;
            let options = match key.leased() {
                true => Some(PutOptions::new().with_lease(lease.id(client).await?)),
                false => None,
            };
            Ok(TxnOp::put(full, value, options))
        }
    }
}

/// Whoever decided something finds it in the view, if that is soon.
async fn seen(store: &Store, revision: i64) {
    let mut changes = store.changes();
    let follows = async {
        while store.view().seen.is_none_or(|seen| seen.revision < revision) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    };
    if timeout(SEEN, follows).await.is_err() {
        tracing::debug!(revision, "what was decided is not seen here yet");
    }
}
