//! `/v1/sessions`: the sessions of `cheops exec`.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::{Agent, ApiError, Caller, Role, document};
use crate::kernel::session::{Record, SessionError, Sessions};
use crate::scope;

/// What `cheops exec` asks for; the process that asks is the one that gets the session.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    scope: String,
    /// The asking process's network namespace, as `/proc/self/ns/net` names it.
    network: String,
}

/// A session as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    session: u16,
    /// None: it is lost, and the session's connections are refused.
    scope: Option<String>,
    cgroup: String,
    uid: u32,
    /// The process that the session began with.
    pid: i32,
    /// Unix time, seconds.
    since: u64,
}

#[derive(Debug, Serialize)]
struct List {
    items: Vec<Shown>,
}

pub async fn begin(
    State(agent): State<Arc<Agent>>,
    Extension(caller): Extension<Caller>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Json(wanted) = wanted.map_err(|error| ApiError::BadRequest(error.body_text()))?;
    let sessions = sessions(&agent)?;
    let parsed = scope::parse(&wanted.scope).map_err(|error| ApiError::Scope(error.problem()))?;
    scope::resolve(&parsed, &agent.snapshot()).map_err(|error| ApiError::Scope(error.problem()))?;
    let process = caller.process.ok_or(SessionError::Gone)?;
    // Making a group and moving a process wait for the kernel.
    let begun = tokio::task::spawn_blocking(move || sessions.begin(&process, &wanted.network, &wanted.scope)).await;
    let record = begun.map_err(|error| ApiError::Internal(error.to_string()))??;
    tracing::info!(session = record.session, uid = record.uid, pid = record.pid, "an exec session begins");
    Ok(document("Session", Shown::from(record)))
}

pub async fn list(
    State(agent): State<Arc<Agent>>,
    Extension(caller): Extension<Caller>,
) -> Result<impl IntoResponse, ApiError> {
    let records = agent.sessions.as_ref().map(|sessions| sessions.list()).unwrap_or_default();
    let items = records.into_iter().filter(|record| may_see(&caller, record)).map(Shown::from).collect();
    Ok(document("SessionList", List { items }))
}

pub async fn get(
    State(agent): State<Arc<Agent>>,
    Extension(caller): Extension<Caller>,
    Path(session): Path<u16>,
) -> Result<impl IntoResponse, ApiError> {
    let sessions = sessions(&agent)?;
    Ok(document("Session", Shown::from(visible(&sessions, &caller, session)?)))
}

pub async fn end(
    State(agent): State<Arc<Agent>>,
    Extension(caller): Extension<Caller>,
    Path(session): Path<u16>,
) -> Result<impl IntoResponse, ApiError> {
    let sessions = sessions(&agent)?;
    let record = visible(&sessions, &caller, session)?;
    sessions.end(session)?;
    Ok(document("Session", Shown::from(record)))
}

fn sessions(agent: &Agent) -> Result<Arc<Sessions>, ApiError> {
    let off = || {
        ApiError::Conflict("nothing is intercepted here (intercept.mode is off), so no scope would be carried".into())
    };
    agent.sessions.clone().ok_or_else(off)
}

/// Somebody else's session is not there.
fn visible(sessions: &Sessions, caller: &Caller, session: u16) -> Result<Record, ApiError> {
    let record = sessions.get(session)?;
    if may_see(caller, &record) { Ok(record) } else { Err(SessionError::Unknown(session).into()) }
}

fn may_see(caller: &Caller, record: &Record) -> bool {
    caller.role == Role::Admin || caller.uid == record.uid
}

impl From<Record> for Shown {
    fn from(record: Record) -> Self {
        let Record { session, scope, cgroup, uid, pid, since, .. } = record;
        Self { session, scope, cgroup: cgroup.display().to_string(), uid, pid, since }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        let text = error.to_string();
        match error {
            SessionError::Full | SessionError::Frozen => ApiError::Unavailable(text),
            SessionError::Unknown(_) => ApiError::NotFound(text),
            SessionError::NotCaught { .. }
            | SessionError::OtherNetwork { .. }
            | SessionError::Gone
            | SessionError::Busy(_)
            | SessionError::Caller(_) => ApiError::Conflict(text),
            SessionError::Group { .. }
            | SessionError::Marks(_)
            | SessionError::Record(_)
            | SessionError::NoHierarchy(_)
            | SessionError::Watch(_) => ApiError::Internal(text),
        }
    }
}
