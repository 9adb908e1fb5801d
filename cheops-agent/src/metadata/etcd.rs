//! The backend `etcd`: one cluster that all sites share. Nothing but this room waits for it.
//!
//! One task looks for the nearest member that serves (`survey`), lists all records there (`list`), and then follows what
//! changes (`follow`), puts what waits (`write`), keeps the lease of this agent's liveness (`lease`) and looks at the
//! members, until the connection breaks, is silent, or another member is nearer for long. Then it begins anew: what is
//! listed is the truth, whatever happened meanwhile. `decide` does transactions, over the same connection.

mod decide;
mod dial;
mod follow;
mod lease;
mod list;
mod survey;
mod trouble;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use etcd_client::Client;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::key;
use super::store::{Link, Store};
use super::transaction::{Outcome, Transaction};
use super::truth::{Truth, TruthError};
use crate::config::EtcdConfig;
use lease::Lease;
use survey::{Answers, Listed, Survey};
use trouble::Trouble;

/// How often members are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How often another one has to be nearer before it is gone to.
const LONG: u32 = 2;
/// How soon members are asked again that don't serve: the first time, and at last.
const SOON: Duration = Duration::from_millis(250);
const LATE: Duration = Duration::from_secs(4);
/// A connection that lived so long was a good one.
const GOOD: Duration = Duration::from_secs(10);
/// How long the list of members may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to the cluster. Cheap to share.
#[derive(Clone)]
pub struct Etcd(Arc<Inner>);

struct Inner {
    config: EtcdConfig,
    /// The connection that there is now.
    client: ArcSwapOption<Client>,
    lease: Lease,
}

/// Why a connection isn't used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It can't be: another member may do.
    Broken(String),
    /// What was missed can't be told; everything has to be listed again.
    Again(String),
    /// Another member is nearer for long.
    Nearer(String),
}

impl End {
    fn broken(trouble: Trouble) -> Self {
        match trouble.kind {
            trouble::Kind::Compacted => Self::Again(trouble.text),
            _ => Self::Broken(trouble.text),
        }
    }
}

impl Etcd {
    pub fn new(config: &EtcdConfig) -> Self {
        Self(Arc::new(Inner { config: config.clone(), client: ArcSwapOption::empty(), lease: Lease::default() }))
    }

    /// Follows the cluster for ever: tells `store` what it keeps, and has it keep what waits there.
    pub async fn keep(&self, store: &Store) -> std::convert::Infallible {
        let mut survey = Survey::new(&self.0.config);
        let mut wait = SOON;
        loop {
            let told = survey.ask().await;
            show(&survey, &told, store);
            let begin = Instant::now();
            match survey.nearest(&told) {
                Ok(endpoint) => {
                    let end = Box::pin(self.session(store, &endpoint, &mut survey)).await;
                    self.0.client.store(None);
                    ended(store, &mut survey, &endpoint, end);
                }
                Err(why) => down(store, &why),
            }
            if begin.elapsed() >= GOOD {
                wait = SOON;
            }
            // Agents that lost the same member don't all come back at once.
            tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
            wait = wait.saturating_mul(2).min(LATE);
        }
    }

    /// One connection, from its beginning to its end.
    async fn session(&self, store: &Store, endpoint: &str, survey: &mut Survey) -> End {
        let begun = async {
            let client = dial::connect(&self.0.config, endpoint).await?;
            let listed = list::list(&client, &key::prefix(store.federation())).await?;
            Ok::<_, Trouble>((client, listed))
        };
        let (client, listed) = match begun.await {
            Ok(begun) => begun,
            Err(trouble) => return End::broken(trouble),
        };
        let Some(seen) = listed.seen else { return End::Broken("an answer without a header".to_owned()) };
        let records = listed.values.len();
        store.listed(listed);
        store.up(endpoint);
        tracing::info!(endpoint, records, revision = seen.revision, "the metadata cluster is followed");
        self.0.client.store(Some(Arc::new(client.clone())));
        tokio::select! {
            end = follow::follow(&client, store, seen) => end,
            never = write::write(&client, store, &self.0.lease) => match never {},
            never = self.0.lease.keep(&client) => match never {},
            end = look(&client, store, endpoint, survey) => end,
        }
    }
}

/// Looks at the members, until another one is nearer for long.
async fn look(client: &Client, store: &Store, endpoint: &str, survey: &mut Survey) -> End {
    let mut times = 0;
    loop {
        match members(client).await {
            Ok(listed) => survey.listed(listed),
            Err(trouble) => tracing::debug!(%trouble, "the members of the metadata cluster are not listed"),
        }
        let told = survey.ask().await;
        show(survey, &told, store);
        match survey.nearer(endpoint, &told) {
            Some(nearer) if times >= LONG => return End::Nearer(nearer),
            Some(_) => times += 1,
            None => times = 0,
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn members(client: &Client) -> Result<Vec<Listed>, Trouble> {
    let listed = timeout(PATIENCE, client.cluster_client().member_list()).await;
    let listed = listed.map_err(|_| Trouble::silence(PATIENCE))??;
    let voters = listed.members().iter().filter(|member| !member.is_learner());
    Ok(voters
        .map(|member| Listed {
            id: member.id(),
            name: member.name().to_owned(),
            clients: member.client_urls().to_vec(),
            peers: member.peer_urls().to_vec(),
        })
        .collect())
}

fn show(survey: &Survey, told: &Answers, store: &Store) {
    if let Some(cluster) = survey.cluster(told) {
        store.clustered(cluster);
    }
}

fn ended(store: &Store, survey: &mut Survey, endpoint: &str, end: End) {
    match end {
        End::Broken(why) => {
            survey.shun(endpoint);
            down(store, &format!("{endpoint}: {why}"));
        }
        End::Again(why) => tracing::info!(endpoint, why, "the metadata cluster is listed again"),
        End::Nearer(nearer) => tracing::info!(endpoint, nearer, "another member of the metadata cluster is nearer"),
    }
}

/// Says it once, however often it is tried.
fn down(store: &Store, why: &str) {
    let known = matches!(store.facts().link, Link::Down { why: ref known, .. } if known == why);
    if !known {
        tracing::warn!(why, "the metadata cluster is not reached; requests don't need it, and writes wait");
    }
    store.down(why);
}

impl Truth for Etcd {
    fn transact<'a>(
        &'a self,
        store: &'a Store,
        transaction: Transaction,
    ) -> BoxFuture<'a, Result<Outcome, TruthError>> {
        Box::pin(async move {
            let Some(client) = self.0.client.load_full() else {
                return Err(TruthError::Unreachable(match store.facts().link {
                    Link::Down { why, .. } => why,
                    Link::Up { endpoint } => format!("{endpoint} was just lost"),
                }));
            };
            decide::decide(&client, store, &self.0.lease, transaction).await
        })
    }
}
