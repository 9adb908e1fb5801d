//! The admin API: HTTP on the agent's unix socket, and read-only on a loopback TCP address.
//!
//! `access` says who may ask what, `agent` is what can be asked about, the other files answer one question each. All
//! JSON carries [`API_VERSION`]; errors are problem documents (RFC 9457).

mod access;
pub mod agent;
mod certificate;
mod check;
pub mod earlier;
mod error;
pub mod explain;
mod files;
mod hosts;
pub mod life;
mod listen;
mod membership;
mod metadata;
mod openapi;
mod outlook;
mod revoke;
mod rotation;
mod services;
mod sessions;
mod sites;
mod standing;
mod status;
mod tap;
pub mod upgrade;
mod workflows;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;

pub use access::{Caller, Role};
pub use agent::{Agent, Peers};
pub use error::ApiError;
pub use life::{Life, Phase};
pub use listen::{bind_socket, serve_socket, serve_tcp, socket};

/// In every JSON document.
pub const API_VERSION: &str = "cheops/v1";

/// A JSON document with its version and kind.
#[derive(Debug, Serialize)]
pub struct Document<T> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    content: T,
}

/// An answer of that kind.
pub fn document<T: Serialize>(kind: &'static str, content: T) -> Json<Document<T>> {
    Json(Document { api_version: API_VERSION, kind, content })
}

/// Routes that only look, and hold nothing of single requests: all that the TCP listener offers.
fn readable() -> Router<Arc<Agent>> {
    Router::new()
        .route("/v1/status", get(status::get))
        .route("/v1/sites", get(sites::get))
        .route("/v1/map", get(sites::map))
        .route("/v1/services", get(services::get))
        .route("/v1/check", get(check::get))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/openapi.json", get(openapi::get))
}

/// Every route.
fn all() -> Router<Arc<Agent>> {
    readable()
        .route("/v1/explain", post(explain::post))
        .route("/v1/tap", get(tap::get))
        .route("/v1/workflows", get(workflows::get))
        .route("/v1/sessions", get(sessions::list).post(sessions::begin))
        .route("/v1/sessions/{session}", get(sessions::get).delete(sessions::end))
        .route("/v1/membership/revoke", post(revoke::post))
        .route("/v1/membership/authority", get(rotation::get).post(rotation::post))
        .route("/v1/sites/{name}/standing", post(standing::post))
        .route("/v1/membership", get(membership::get))
        .route("/v1/membership/init", post(membership::init))
        .route("/v1/membership/join", post(membership::join))
        .route("/v1/membership/leave", post(membership::leave))
        .route("/v1/membership/sites/{name}/remove", post(membership::remove))
        .route("/v1/tokens", get(membership::tokens).post(membership::issue))
        .route("/v1/tokens/{id}/revoke", post(membership::revoke))
        .route("/v1/config", get(files::get))
        .route("/v1/upgrade", post(upgrade::post))
}

fn finish(routes: Router<Arc<Agent>>, agent: Arc<Agent>) -> Router {
    routes
        .fallback(|| async { ApiError::NotFound("no such route; see /openapi.json".into()) })
        .method_not_allowed_fallback(|| async { ApiError::Method })
        .with_state(agent)
}

/// The unix socket's routes, each behind the caller's role.
fn for_socket(agent: Arc<Agent>) -> Router {
    finish(all(), agent).layer(middleware::from_fn(access::by_role))
}

/// The TCP listener's routes: GET only, and only with a loopback Host, so that no web page can reach it by a name.
fn for_tcp(agent: Arc<Agent>) -> Router {
    finish(readable(), agent).layer(middleware::from_fn(access::loopback_get))
}

async fn metrics(State(agent): State<Arc<Agent>>) -> Response {
    match agent.observer.metrics_text() {
        Ok(text) => ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(error) => ApiError::Internal(error.to_string()).into_response(),
    }
}

async fn readyz(State(agent): State<Arc<Agent>>) -> Response {
    let waiting = agent.life.waiting();
    if waiting.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", waiting.join("\n"))).into_response()
    }
}
