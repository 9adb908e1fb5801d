//! `/v1/membership/authority`: how the federation's authority is replaced, and how far that is.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::membership::{of, whole};
use super::{Agent, ApiError, document};
use crate::membership::Progress;
use crate::metadata::rotation::Missing;
use crate::names::SiteName;
use crate::observe::{Check, Grade};

/// Hosts that are named; the rest is counted.
const NAMED: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    #[serde(default)]
    force: bool,
}

pub async fn get(State(agent): State<Arc<Agent>>) -> Result<impl IntoResponse, ApiError> {
    Ok(document("Rotation", of(&agent)?.progress()))
}

pub async fn post(State(agent): State<Arc<Agent>>, Json(asked): Json<Rotate>) -> Result<impl IntoResponse, ApiError> {
    let membership = of(&agent)?;
    Ok(document("Rotation", whole(async move { membership.rotate(asked.force).await }).await?))
}

/// How far it is; nothing while nothing is replaced.
pub fn going_on(agent: &Agent) -> Option<Progress> {
    agent.membership.as_ref().map(|membership| membership.progress()).filter(|progress| progress.to.is_some())
}

/// What a site's hosts lack, while the authority is being replaced.
pub fn of_site(progress: &Progress, site: &SiteName) -> String {
    let lacking: Vec<String> = progress.missing.iter().filter(|missing| missing.site == *site).map(lacks).collect();
    if lacking.is_empty() { "follows".to_owned() } else { lacking.join("; ") }
}

fn lacks(missing: &Missing) -> String {
    let away = if missing.lives { "" } else { " (away)" };
    format!("{}{away} {}", missing.host, missing.lacks.told())
}

/// Why this host can't follow.
pub fn trouble(agent: &Agent) -> Option<String> {
    agent.peers.as_ref()?.authority.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The check of it; none without a rotation.
pub fn check(agent: &Agent) -> Option<Check> {
    const NAME: &str = "authority";
    if let Some(trouble) = trouble(agent) {
        return Some(Check::not(NAME, Grade::Fail, trouble, "Until then this host serves its own site alone"));
    }
    let progress = going_on(agent)?;
    let step = match progress.state {
        "spreading" => "step 1 of 2, the new one comes to be believed",
        _ => "step 2 of 2, certificates are renewed",
    };
    let missing = &progress.missing;
    let told = |missing: &Missing| format!("{} at {}", lacks(missing), missing.site);
    let mut names: Vec<String> = missing.iter().take(NAMED).map(told).collect();
    if missing.len() > NAMED {
        names.push(format!("{} more", missing.len() - NAMED));
    }
    Some(match names.is_empty() {
        true => Check::ok(NAME, format!("the federation's authority is being replaced ({step})")),
        false => Check::not(
            NAME,
            Grade::Warn,
            format!("the federation's authority is being replaced ({step}): {}", names.join(", ")),
            "It goes on by itself. Look at the agents that are named; one whose certificates are in its file needs other \
             ones; a site that is gone: cheops site remove NAME --force; without them: cheops site rotate-authority --force",
        ),
    })
}
