//! What changes below the federation's prefix, as long as one connection lives.

use std::time::{Duration, Instant};

use etcd_client::{Client, KeyValue, WatchOptions, WatchRequestSender, WatchResponse, WatchResponseStream};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::End;
use super::list::{MESSAGE, told};
use super::trouble::Trouble;
use crate::metadata::key;
use crate::metadata::store::{Change, Seen, Store};

/// How often a member that tells nothing is asked whether it lives.
const ASK: Duration = Duration::from_secs(2);
/// A member that says nothing for so long is left, though the connection stands.
pub const SILENT: Duration = Duration::from_secs(8);

/// Tells `store` what changes after `seen`, until the connection ends or can't be relied on.
pub async fn follow(client: &Client, store: &Store, seen: Seen) -> End {
    match watch(client, store, seen).await {
        Ok((ask, hear)) => {
            let mut watch = Watch { store, seen, heard: Instant::now() };
            watch.run(ask, hear).await
        }
        Err(trouble) => End::broken(trouble),
    }
}

async fn watch(
    client: &Client,
    store: &Store,
    seen: Seen,
) -> Result<(WatchRequestSender, WatchResponseStream), Trouble> {
    let options = WatchOptions::new()
        .with_prefix()
        .with_start_revision(seen.revision.saturating_add(1))
        .with_progress_notify()
        .with_fragment();
    let mut watch = client.watch_client().max_decoding_message_size(MESSAGE);
    let stream = timeout(SILENT, watch.watch(key::prefix(store.federation()), Some(options))).await;
    Ok(stream.map_err(|_| Trouble::silence(SILENT))??.split())
}

struct Watch<'a> {
    store: &'a Store,
    seen: Seen,
    heard: Instant,
}

impl Watch<'_> {
    async fn run(&mut self, mut ask: WatchRequestSender, mut hear: WatchResponseStream) -> End {
        let mut tick = interval(ASK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = hear.message() => match message {
                    Ok(Some(message)) => {
                        if let Err(end) = self.take(&message) {
                            return end;
                        }
                    }
                    Ok(None) => return End::Broken("the member ended the watch".to_owned()),
                    Err(error) => return End::broken(error.into()),
                },
                _ = tick.tick() => {
                    if self.heard.elapsed() >= SILENT {
                        return End::Broken(format!("the member is silent for {} s", SILENT.as_secs()));
                    }
                    // The answer proves that it lives, and no revision: etcd 3.4 may send it early (AMENDMENTS 22).
                    if let Err(error) = ask.request_progress().await {
                        return End::broken(error.into());
                    }
                }
            }
        }
    }

    fn take(&mut self, message: &WatchResponse) -> Result<(), End> {
        if message.compact_revision() != 0 {
            return Err(End::Again("what was missed is compacted".to_owned()));
        }
        if message.canceled() {
            let why = message.cancel_reason();
            return Err(End::broken(etcd_client::Error::WatchError(why.to_owned()).into()));
        }
        if message.header().is_some_and(|header| header.cluster_id() != self.seen.cluster) {
            return Err(End::Again("the cluster is another".to_owned()));
        }
        self.heard = Instant::now();
        let Some(newest) = message.events().iter().filter_map(|event| event.kv()).map(KeyValue::mod_revision).max()
        else {
            self.store.alive();
            return Ok(());
        };
        if newest < self.seen.revision {
            return Err(End::Again("the cluster's history went back".to_owned()));
        }
        self.seen.revision = newest;
        self.store.changed(message.events().iter().filter_map(|event| event.kv()).map(change).collect(), self.seen);
        Ok(())
    }
}

/// A removed key has no version (etcd's documentation of `mvccpb.KeyValue`).
fn change(kv: &KeyValue) -> Change {
    let (full, value, revision) = told(kv);
    if kv.version() == 0 { Change::Removed { full } } else { Change::Put { full, value, revision } }
}
