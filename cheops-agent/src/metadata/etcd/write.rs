//! The writes that wait: put where they belong, each until it is there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use etcd_client::{Client, PutOptions};
use futures_util::StreamExt as _;
use tokio::time::{timeout, timeout_at};

use super::lease::Lease;
use super::trouble::{Kind, Trouble};
use crate::metadata::bounds;
use crate::metadata::store::{Pending, Store};
use crate::metadata::transaction::Write;

/// How long a write may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Writes on their way at once: never two of one key, since the store has one for each.
const TOGETHER: usize = 16;
/// Writes of one round.
const ROUND: usize = 256;
/// How soon what may succeed is tried again: the first time, and at last.
const SOON: Duration = Duration::from_millis(200);
const LATE: Duration = Duration::from_secs(5);
/// How soon what was refused is tried again: somebody may have allowed it.
const REFUSED: Duration = Duration::from_secs(30);
/// How soon a record that can't be signed is tried again, if nothing tells of a change before.
const UNSIGNED: Duration = Duration::from_secs(5);

/// Why one is not tried now.
struct Held {
    until: Instant,
    tries: u32,
    unsigned: bool,
}

/// What became of one.
enum Outcome {
    Done,
    Unsigned(String),
    Failed(Trouble),
}

/// Writes what waits and what comes, as long as the connection lives.
pub async fn write(client: &Client, store: &Store, lease: &Lease) -> std::convert::Infallible {
    let mut held: BTreeMap<u64, Held> = BTreeMap::new();
    let mut changes = store.changes();
    loop {
        // Before it is looked at what waits, so that nothing comes between.
        changes.mark_unchanged();
        let pending = store.pending();
        held.retain(|id, _| pending.iter().any(|one| one.id == *id));
        let now = Instant::now();
        let due = pending.into_iter().filter(|one| held.get(&one.id).is_none_or(|held| held.until <= now));
        let due: Vec<Pending> = due.take(ROUND).collect();
        if due.is_empty() {
            wait(store, &mut changes, &mut held).await;
            continue;
        }
        let written = futures_util::stream::iter(due).map(|one| async move {
            let outcome = one_of(client, store, lease, &one).await;
            (one, outcome)
        });
        let outcomes: Vec<(Pending, Outcome)> = written.buffer_unordered(TOGETHER).collect().await;
        settle(store, outcomes, &mut held);
    }
}

async fn wait(store: &Store, changes: &mut tokio::sync::watch::Receiver<u64>, held: &mut BTreeMap<u64, Held>) {
    let next = held.values().map(|held| held.until).min();
    let unsigned = held.values().any(|held| held.unsigned);
    let come = async {
        tokio::select! {
            () = store.wanted() => {}
            // Certificates may have come: then what can't be signed now can be.
            Ok(()) = changes.changed(), if unsigned => {
                held.retain(|_, held| !held.unsigned);
            }
        }
    };
    match next {
        // That the time is over is no error.
        Some(next) => drop(timeout_at(next.into(), come).await),
        None => come.await,
    }
}

fn settle(store: &Store, outcomes: Vec<(Pending, Outcome)>, held: &mut BTreeMap<u64, Held>) {
    let mut done = Vec::new();
    for (one, outcome) in outcomes {
        let tries = held.get(&one.id).map_or(0, |held| held.tries) + 1;
        let (wait, unsigned) = match outcome {
            Outcome::Done => {
                done.push(one.id);
                continue;
            }
            Outcome::Unsigned(why) => {
                if store.denied(one.id, &why) {
                    tracing::debug!(key = %one.write.key(), why, "a write can't be signed");
                }
                (UNSIGNED, true)
            }
            Outcome::Failed(trouble) if trouble.kind == Kind::Refused => {
                if store.denied(one.id, &trouble.text) {
                    tracing::warn!(key = %one.write.key(), %trouble, "the metadata cluster refuses a write; it waits");
                }
                (REFUSED, false)
            }
            Outcome::Failed(trouble) => {
                tracing::debug!(key = %one.write.key(), %trouble, "a write waits on");
                (SOON.saturating_mul(1 << tries.min(6)).min(LATE), false)
            }
        };
        held.insert(one.id, Held { until: Instant::now() + wait, tries, unsigned });
    }
    if !done.is_empty() {
        store.settled(&done);
    }
}

async fn one_of(client: &Client, store: &Store, lease: &Lease, one: &Pending) -> Outcome {
    match timeout(PATIENCE, put_or_delete(client, store, lease, &one.write)).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Failed(Trouble::silence(PATIENCE)),
    }
}

async fn put_or_delete(client: &Client, store: &Store, lease: &Lease, write: &Write) -> Outcome {
    let full = write.key().full(store.federation());
    let mut kv = client.kv_client();
    let done = match write {
        Write::Remove(_) => kv.delete(full, None).await.map(drop),
        Write::Put(key, record) => {
            let value = match store.sealed(key, record) {
                Ok(value) => value,
                Err(error) => return Outcome::Unsigned(error.to_string()),
            };
            if let Err(why) = bounds::fits(&full, &value) {
                return Outcome::Failed(Trouble::new(Kind::Refused, why.to_string()));
            }
            let mut options = None;
            if key.leased() {
                match lease.id(client).await {
                    Ok(id) => options = Some(PutOptions::new().with_lease(id)),
                    Err(trouble) => return Outcome::Failed(trouble),
                }
            }
            kv.put(full, value, options).await.map(drop)
        }
    };
    match done.map_err(Trouble::from) {
        Ok(()) => Outcome::Done,
        Err(trouble) => {
            if write.key().leased() && trouble.text.contains("lease not found") {
                lease.lost().await;
                return Outcome::Failed(Trouble { kind: Kind::Away, ..trouble });
            }
            Outcome::Failed(trouble)
        }
    }
}
