//! `/openapi.json`: the API's description (OpenAPI 3.1).

use axum::Json;
use serde_json::{Map, Value, json};

/// Path, method, summary, media type of the good answer.
const ROUTES: &[(&str, &str, &str, &str)] = &[
    ("/v1/status", "get", "How the agent, its capture and the other sites stand", "application/json"),
    ("/v1/sites", "get", "The sites that are known", "application/json"),
    ("/v1/membership", "get", "How this host stands in its federation", "application/json"),
    ("/v1/membership/init", "post", "Makes the federation, with this host as its first", "application/json"),
    ("/v1/membership/join", "post", "Has this host join with a token", "application/json"),
    ("/v1/membership/leave", "post", "Takes this host out of the federation", "application/json"),
    ("/v1/membership/sites/{name}/remove", "post", "Takes a site away that is gone", "application/json"),
    ("/v1/tokens", "get", "The tokens that were not used yet", "application/json"),
    ("/v1/tokens", "post", "Issues a token with which one host can join, once", "application/json"),
    ("/v1/tokens/{id}/revoke", "post", "Takes a token back", "application/json"),
    ("/v1/sites/{name}/standing", "post", "Says how a site takes part: active, cordoned, drained", "application/json"),
    ("/v1/membership/revoke", "post", "Has nobody believe a host, or a site, any more", "application/json"),
    ("/v1/membership/authority", "get", "How far the replacement of the authority is", "application/json"),
    ("/v1/membership/authority", "post", "Has the federation's authority replaced", "application/json"),
    ("/v1/map", "get", "How far the sites are from one another, as each measured it", "application/json"),
    ("/v1/services", "get", "The services that are known, and where they are", "application/json"),
    ("/v1/check", "get", "Graded checks, each with its remedy", "application/json"),
    ("/v1/explain", "post", "What would be done with a request, and why; sends nothing", "application/json"),
    ("/v1/tap", "get", "Live requests as server-sent events", "text/event-stream"),
    ("/v1/workflows", "get", "The scoped requests that calls are linked to, and these calls", "application/json"),
    ("/v1/sessions", "get", "The sessions of cheops exec", "application/json"),
    ("/v1/sessions", "post", "Begins a session of cheops exec for the caller itself", "application/json"),
    ("/v1/sessions/{session}", "get", "One session", "application/json"),
    ("/v1/sessions/{session}", "delete", "Ends a session whose processes have ended", "application/json"),
    ("/v1/config", "get", "The configuration's files, without secrets", "application/json"),
    ("/v1/upgrade", "post", "The program that is installed now takes over from this agent", "application/json"),
    ("/metrics", "get", "Counters in OpenMetrics text", "application/openmetrics-text"),
    ("/healthz", "get", "Whether the process answers", "text/plain"),
    ("/readyz", "get", "Whether the agent is ready, or what it waits for", "text/plain"),
    ("/openapi.json", "get", "This description", "application/json"),
];

pub async fn get() -> Json<Value> {
    let mut paths = Map::new();
    for (path, method, summary, media) in ROUTES {
        let operation = json!({
            "summary": summary,
            "responses": {
                "200": { "description": "The answer", "content": { *media: {} } },
                "default": { "description": "A problem document", "content": { "application/problem+json": {} } },
            },
        });
        let methods = paths.entry(*path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = methods {
            methods.insert((*method).to_owned(), operation);
        }
    }
    Json(json!({
        "apiVersion": super::API_VERSION,
        "openapi": "3.1.0",
        "info": { "title": "Cheops admin API", "version": super::API_VERSION },
        "paths": paths,
    }))
}
