//! `/v1/membership…` and `/v1/tokens…`: coming into a federation, letting others in, and leaving.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use super::{Agent, ApiError, document};
use crate::membership::{Kind, Listed, Membership, MembershipError, Wanted};
use crate::names::{HostName, SiteName};

impl From<MembershipError> for ApiError {
    fn from(error: MembershipError) -> Self {
        let detail = error.to_string();
        match error.kind() {
            Kind::Usage => Self::BadRequest(detail),
            Kind::NotFound => Self::NotFound(detail),
            Kind::Conflict => Self::Conflict(detail),
            Kind::Refused => Self::Forbidden(detail),
            Kind::Unavailable => Self::Unavailable(detail),
            Kind::Internal => Self::Internal(detail),
        }
    }
}

pub(super) fn of(agent: &Agent) -> Result<Arc<Membership>, ApiError> {
    let none = || ApiError::Conflict("there is no [peer] in this agent's file: add it with listen alone".to_owned());
    agent.membership.clone().ok_or_else(none)
}

/// Goes on though whoever asked goes away: half of it would be of no use.
pub(super) async fn whole<T: Send + 'static>(
    work: impl Future<Output = Result<T, MembershipError>> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::spawn(work).await.map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(done?)
}

pub async fn get(State(agent): State<Arc<Agent>>) -> Result<impl IntoResponse, ApiError> {
    Ok(document("Membership", of(&agent)?.standing()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    federation: Option<String>,
}

pub async fn init(State(agent): State<Arc<Agent>>, Json(asked): Json<Init>) -> Result<impl IntoResponse, ApiError> {
    let membership = of(&agent)?;
    let work = async move { membership.init(asked.federation.as_deref()).await };
    Ok(document("Membership", whole(work).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    token: String,
}

pub async fn join(State(agent): State<Arc<Agent>>, Json(asked): Json<Join>) -> Result<impl IntoResponse, ApiError> {
    let membership = of(&agent)?;
    Ok(document("Membership", whole(async move { membership.join(&asked.token).await }).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leave {
    #[serde(default)]
    force: bool,
}

pub async fn leave(State(agent): State<Arc<Agent>>, Json(asked): Json<Leave>) -> Result<impl IntoResponse, ApiError> {
    let membership = of(&agent)?;
    Ok(document("Membership", whole(async move { membership.leave(asked.force).await }).await?))
}

#[derive(Serialize)]
struct Removed {
    name: SiteName,
    hosts: Vec<HostName>,
}

pub async fn remove(
    State(agent): State<Arc<Agent>>,
    Path(name): Path<String>,
    Json(asked): Json<Leave>,
) -> Result<impl IntoResponse, ApiError> {
    let (membership, name) = (of(&agent)?, SiteName::from(name));
    let site = name.clone();
    let hosts = whole(async move { membership.remove(&site, asked.force).await }).await?;
    Ok(document("Removed", Removed { name, hosts }))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Issue {
    site: SiteName,
    host: Option<HostName>,
    expires_seconds: u64,
    #[serde(default)]
    signs: bool,
}

#[derive(Serialize)]
struct Issued {
    id: String,
    site: SiteName,
    token: String,
}

pub async fn issue(State(agent): State<Arc<Agent>>, Json(asked): Json<Issue>) -> Result<impl IntoResponse, ApiError> {
    let membership = of(&agent)?;
    let Issue { site, host, expires_seconds, signs } = asked;
    let wanted = Wanted { site, host, expires: Duration::from_secs(expires_seconds), signs };
    let token = whole(async move { membership.issue(&wanted).await }).await?;
    let issued = Issued { id: token.id.clone(), site: token.site.clone(), token: token.to_word() };
    Ok(document("Token", issued))
}

#[derive(Serialize)]
struct Tokens {
    tokens: Vec<Listed>,
}

pub async fn tokens(State(agent): State<Arc<Agent>>) -> Result<impl IntoResponse, ApiError> {
    Ok(document("Tokens", Tokens { tokens: of(&agent)?.tokens() }))
}

#[derive(Serialize)]
struct Revoked {
    id: String,
}

pub async fn revoke(State(agent): State<Arc<Agent>>, Path(id): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let (membership, token) = (of(&agent)?, id.clone());
    whole(async move { membership.revoke_token(&token).await }).await?;
    Ok(document("Revoked", Revoked { id }))
}
