//! `/v1/workflows`: the scoped requests whose calls are found by their ids, and these calls.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;

use super::{Agent, document};
use crate::metadata::record;
use crate::names::{ServiceName, SiteName};
use crate::workflow::{Called, Shown};

#[derive(Serialize)]
struct Workflows {
    workflows: Vec<Line>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line {
    /// `X-Cheops-Request` of the request that began it.
    request: String,
    ids: Vec<Id>,
    /// As the request said it.
    scope: String,
    scope_completed: String,
    entry: SiteName,
    /// Whom the request addressed, and who calls others for it; none where only calls of it came by here.
    service: Option<ServiceName>,
    age_seconds: f64,
    /// Until it is forgotten; none while a request of it has no answer.
    seconds_left: Option<f64>,
    /// Requests of it that have no answer.
    open: usize,
    /// Where services are of which the scope leaves that open.
    placed: Vec<Place>,
    calls: Vec<Called>,
}

#[derive(Serialize)]
struct Id {
    name: String,
    value: String,
}

#[derive(Serialize)]
struct Place {
    service: ServiceName,
    site: SiteName,
}

pub async fn get(State(agent): State<Arc<Agent>>) -> impl IntoResponse {
    let now = record::now();
    let workflows = agent.shared.workflows.list().into_iter().map(|shown| line(shown, now)).collect();
    document("Workflows", Workflows { workflows })
}

fn line(shown: Shown, now: u64) -> Line {
    let Shown { links, scope, story, placed, open, left, calls } = shown;
    Line {
        request: story.request.clone(),
        ids: links.into_iter().map(|link| Id { name: link.name, value: link.value }).collect(),
        scope: scope.scope.scope.to_string(),
        scope_completed: scope.scope.to_string(),
        entry: scope.entry.clone(),
        service: story.service.clone(),
        age_seconds: std::time::Duration::from_millis(now.saturating_sub(story.since)).as_secs_f64(),
        seconds_left: left.map(|left| left.as_secs_f64()),
        open,
        placed: placed.into_iter().map(|(service, site)| Place { service, site }).collect(),
        calls,
    }
}
