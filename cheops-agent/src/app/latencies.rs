//! The own site's distances, published for all; and those of other sites, read for where they tell nothing themselves.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::Agent;
use crate::metadata::store::StoreError;
use crate::metadata::transaction::Write;
use crate::metadata::{Key, Record, record};
use crate::peer::Publisher;

/// How often is looked whether there is something to publish, or to read.
const EVERY: Duration = Duration::from_secs(2);
/// What was read is read again after this: by then the cluster may be known to be away.
const AGAIN: Duration = Duration::from_secs(10);

/// Publishes and reads for ever. No request waits for any of it.
pub async fn keep(agent: Arc<Agent>) {
    let (liveness, store) = (&agent.shared.liveness, &agent.metadata);
    let mut publisher = Publisher::default();
    let mut read = None;
    loop {
        let (view, wall) = (store.view(), record::now());
        if read.as_ref().is_none_or(|(last, at): &(_, Instant)| !Arc::ptr_eq(last, &view) || at.elapsed() >= AGAIN) {
            liveness.learn(&view, store.heard().map(|heard| heard.elapsed()), wall);
            read = Some((view, Instant::now()));
        }
        let config = agent.config();
        if let Some(latencies) = liveness.publish(&mut publisher, &config.host, wall) {
            let write = Write::Put(Key::Latencies(config.site.clone()), Record::Latencies(latencies));
            // Whoever belongs to no federation tells nobody.
            if let Err(error) = store.write(write)
                && !matches!(error, StoreError::NotJoined | StoreError::Changing)
            {
                tracing::error!(%error, "the distances of this site are not told");
            }
        }
        sleep(EVERY).await;
    }
}
