//! `/v1/sites/{name}/standing`: whether a site may be chosen, and whether something new may be created there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use super::{Agent, ApiError, document};
use crate::metadata::record::{Record, SiteRecord, Standing, now};
use crate::metadata::transaction::{Condition, Outcome, Transaction, Write};
use crate::metadata::truth::TruthError;
use crate::metadata::{Key, Store};
use crate::names::SiteName;

/// Tries, where somebody else writes the same record meanwhile.
const TRIES: usize = 5;
/// What is written is known to this agent's decisions within some hundred milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
pub struct Wanted {
    standing: Standing,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Site {
    name: SiteName,
    standing: Standing,
    before: Standing,
    /// Whether the metadata cluster doesn't have it yet. This site goes by it already.
    waits: bool,
}

/// Says how a site takes part from now on. The own site's word needs nobody; another site's needs the cluster.
pub async fn post(
    State(agent): State<Arc<Agent>>,
    Path(name): Path<String>,
    Json(wanted): Json<Wanted>,
) -> Result<impl IntoResponse, ApiError> {
    let snapshot = agent.snapshot();
    let site = snapshot.sites.get(name.as_str());
    let site = site.ok_or_else(|| ApiError::NotFound(format!("no site {name} is known; see: cheops sites")))?;
    let key = Key::Site(site.name.clone());
    let record = Record::Site(SiteRecord { standing: wanted.standing, since: now() });
    let store = &agent.metadata;
    if site.own {
        store.write(Write::Put(key.clone(), record))?;
        holds(&agent, &site.name, wanted.standing).await;
    } else {
        decided(store, &key, record).await?;
    }
    let waits = store.view().get(&key).is_some_and(|kept| kept.revision.is_none());
    let site = Site { name: site.name.clone(), standing: wanted.standing, before: site.standing, waits };
    Ok(document("Site", site))
}

/// Waits until this agent's own decisions go by it: whoever asked for it may rely on that.
async fn holds(agent: &Agent, site: &SiteName, standing: Standing) {
    let end = Instant::now() + PATIENCE;
    let stands = || agent.snapshot().sites.get(site).is_some_and(|site| site.standing == standing);
    while !stands() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn decided(store: &Store, key: &Key, record: Record) -> Result<(), ApiError> {
    for _ in 0..TRIES {
        let kept = store.view().get(key).map(|kept| kept.revision);
        let unchanged = match kept {
            None => Condition::Absent(key.clone()),
            Some(Some(revision)) => Condition::Unchanged(key.clone(), revision),
            Some(None) => return Err(ApiError::Conflict("an earlier change of it still waits for the cluster".into())),
        };
        let transaction = Transaction { when: vec![unchanged], then: vec![Write::Put(key.clone(), record.clone())] };
        match store.transact(transaction).await.map_err(refused)? {
            Outcome::Done { .. } => return Ok(()),
            Outcome::Conflict => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    Err(ApiError::Conflict("somebody else changes it at the same time; try again".into()))
}

fn refused(error: TruthError) -> ApiError {
    match error {
        TruthError::Embedded => ApiError::Conflict(format!("{error}; or say it at that site itself")),
        TruthError::Seal(error) => ApiError::Forbidden(format!("{error}; or say it at that site itself")),
        error => ApiError::Unavailable(error.to_string()),
    }
}
