//! The lease that keeps this agent's liveness: the record goes by itself when the agent does.

use std::time::Duration;

use etcd_client::Client;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::trouble::{Kind, Trouble};

/// How long the record outlives the last sign of this agent.
const LIFE: i64 = 30;
/// How often it gives one.
const EVERY: Duration = Duration::from_secs(7);
/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The lease, which outlives connections; none before it was needed, or once it is lost.
#[derive(Debug, Default)]
pub struct Lease(Mutex<Option<i64>>);

impl Lease {
    /// The lease, granted if there is none.
    pub async fn id(&self, client: &Client) -> Result<i64, Trouble> {
        let mut held = self.0.lock().await;
        if let Some(id) = *held {
            return Ok(id);
        }
        let granted = timeout(PATIENCE, client.lease_client().grant(LIFE, None)).await;
        let id = granted.map_err(|_| Trouble::silence(PATIENCE))??.id();
        *held = Some(id);
        Ok(id)
    }

    /// It is not there any more. What it kept is written again by whoever finds it missing.
    pub async fn lost(&self) {
        if let Some(id) = self.0.lock().await.take() {
            tracing::info!(
                id = format!("{id:x}"),
                "etcd's lease of this agent's liveness is lost; another one is asked for"
            );
        }
    }

    /// Keeps it alive, as long as the connection lives.
    pub async fn keep(&self, client: &Client) -> std::convert::Infallible {
        loop {
            let held = *self.0.lock().await;
            if let Some(id) = held {
                self.renew(client, id).await;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn renew(&self, client: &Client, id: i64) {
        match timeout(PATIENCE, client.lease_client().keep_alive(id)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let trouble = Trouble::from(error);
                if trouble.kind == Kind::Refused {
                    self.lost().await;
                } else {
                    tracing::debug!(%trouble, "the lease is not renewed");
                }
            }
            Err(_) => tracing::debug!("the lease is not renewed: no answer"),
        }
    }
}
