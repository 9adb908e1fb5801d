//! `/v1/explain`: what would be done with a request, and why. Sends nothing, and says nothing of header fields' values.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::Uri;
use axum::response::IntoResponse;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Agent, ApiError, document};
use crate::act::tokens::Credential;
use crate::act::{ids, tokens};
use crate::address::OrigDst;
use crate::http::{Form, Problem, RequestHead};
use crate::metadata::Guard;
use crate::observe::EventLink;
use crate::plan::{self, Asked, Plan, ScopeSource, World};
use crate::workflow::{Linked, WorkflowError};

/// A request as a person writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    pub method: String,
    pub url: String,
    pub scope: Option<String>,
    /// Header fields, as `Name: value`.
    #[serde(default)]
    pub headers: Vec<String>,
}

/// What the requests that are under way would make of a request.
pub type Links<'a> = &'a dyn Fn(&RequestHead, OrigDst) -> Result<Option<Linked>, WorkflowError>;

/// What an agent that runs knows besides its configuration.
pub struct Live<'a> {
    pub links: Links<'a>,
    /// What is known of a request's credential.
    pub credential: &'a dyn Fn(&RequestHead, &Plan) -> Option<Credential>,
}

pub async fn post(
    State(agent): State<Arc<Agent>>,
    question: Result<Json<Question>, JsonRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Json(question) = question.map_err(|error| ApiError::BadRequest(error.body_text()))?;
    let addresses = resolve(&question.url).await?;
    let (config, snapshot, profiles) = (agent.config(), agent.snapshot(), agent.shared.profiles.load());
    let (carriers, here, distances) = (&config.scope, &config.site, agent.shared.liveness.distances());
    let world = World { snapshot: &snapshot, distances: &distances, profiles: &profiles, carriers, here };
    let guarded = agent.known().guarded.clone();
    let live = Live {
        links: &|head, orig| ids::explained(&agent.shared, &config, &snapshot, head, orig),
        credential: &|head, plan| tokens::explained(&agent.shared, head, plan),
    };
    Ok(document("Explanation", explain(&question, &addresses, &world, &guarded, &live)?))
}

/// The addresses of the URL's host.
///
/// # Errors
/// When it isn't a URL with a host, or its name can't be resolved.
pub async fn resolve(url: &str) -> Result<Vec<SocketAddr>, ApiError> {
    let uri = parse(url)?;
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((bare, port)).await;
    let found = found.map_err(|error| ApiError::BadRequest(format!("can't resolve {bare}: {error}")))?;
    Ok(found.map(crate::address::canonical).collect())
}

fn parse(url: &str) -> Result<Uri, ApiError> {
    let uri: Uri = url.parse().map_err(|error| ApiError::BadRequest(format!("\"{url}\" is not a URL: {error}")))?;
    if uri.host().is_none_or(str::is_empty) {
        return Err(ApiError::BadRequest("write the URL with its host, as http://host:port/path".into()));
    }
    Ok(uri)
}

/// The explanation of a request to one of `addresses`.
///
/// # Errors
/// When the question can't be a request. A request that would be refused is an explanation with a `problem`.
pub fn explain(
    question: &Question,
    addresses: &[SocketAddr],
    world: &World<'_>,
    guarded: &[Guard],
    live: &Live<'_>,
) -> Result<Map<String, Value>, ApiError> {
    let guard = addresses.iter().find_map(|address| guarded.iter().find(|guard| guard.address == *address));
    let service = addresses.iter().find_map(|address| Some((address, world.snapshot.at(*address).next()?)));
    let rule = match (guard, &service) {
        (Some(guard), _) => format!("{} is a guarded endpoint", guard.address),
        (None, Some((address, at))) => {
            format!("{address} is {}'s, but not guarded here; see cheops services -o wide", at.service.name)
        }
        (None, None) => "no service is known at this address; see cheops services".to_owned(),
    };
    let mut answer = Map::new();
    answer.insert("method".into(), question.method.as_str().into());
    answer.insert("url".into(), question.url.as_str().into());
    answer.insert("captured".into(), guard.is_some().into());
    answer.insert("rule".into(), rule.into());
    answer.insert("scope-text".into(), question.scope.as_deref().into());
    if let Some(orig) = service.map(|(address, _)| *address).or(addresses.first().copied()) {
        let head = request(question, world)?;
        if let Err(problem) = planned(&head, OrigDst::new(orig), world, live, &mut answer) {
            let problem = serde_json::from_slice(&problem.to_json("", Form::STANDARD)).unwrap_or_else(|_| json!({}));
            answer.insert("problem".into(), problem);
        }
    }
    Ok(answer)
}

/// Adds what is decided about a request.
///
/// # Errors
/// What it would be answered.
fn planned(
    head: &RequestHead,
    orig: OrigDst,
    world: &World<'_>,
    live: &Live<'_>,
    answer: &mut Map<String, Value>,
) -> Result<(), Problem> {
    let cause = (live.links)(head, orig);
    let follows = cause.as_ref().ok().and_then(Option::as_ref).filter(|cause| cause.follows);
    let workflow = follows.map(|cause| cause.found.workflow());
    let plan = plan::explain(&Asked { head, orig, session: None, workflow }, world)?;
    let own = plan
        .as_ref()
        .is_some_and(|plan| plan.scope.as_ref().is_some_and(|scope| scope.source != ScopeSource::Workflow));
    if let Some(plan) = &plan
        && let Value::Object(document) = plan::render::document(plan)
    {
        answer.extend(document);
        if let Some(credential) = (live.credential)(head, plan) {
            answer.insert(
                "credential".into(),
                json!({ "home": credential.home.as_ref().map(|home| &home.site), "known": credential.known() }),
            );
            if let Some(Value::Array(reasons)) = answer.get_mut("reasons") {
                reasons.push(json!({ "code": "credential", "text": credential.text() }));
            }
        }
    }
    // Its own scope outranks them all.
    match cause {
        Ok(Some(cause)) if !own => {
            let link = ids::shown(&cause);
            if let Some(Value::Array(reasons)) = answer.get_mut("reasons") {
                reasons.insert(
                    0,
                    json!({ "code": if link.follows { "linked" } else { "other-caller" }, "text": linked(&link) }),
                );
            }
            answer.insert("link".into(), json!(link));
        }
        Err(error) if !own => return Err(error.problem()),
        Ok(_) | Err(_) => {}
    }
    Ok(())
}

fn linked(link: &EventLink) -> String {
    let by = match &link.id {
        Some(id) => format!("the id {id} ({})", link.kind),
        None => "its credential".to_owned(),
    };
    match link.follows {
        true => format!("{by} links it to request {}, which caused it", link.request),
        false => format!(
            "{by} links it to request {}, but it comes with another credential: it is a service's own, and stays here",
            link.request
        ),
    }
}

/// The request as it would stand on the wire.
fn request(question: &Question, world: &World<'_>) -> Result<RequestHead, ApiError> {
    let uri = parse(&question.url)?;
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let scope =
        question.scope.as_ref().map(|scope| format!("{}: {scope}\r\n", world.carriers.header)).unwrap_or_default();
    let headers: String = question.headers.iter().map(|field| format!("{field}\r\n")).collect();
    let text = format!("{} {target} HTTP/1.1\r\nHost: {authority}\r\n{scope}{headers}\r\n", question.method);
    // A line break in a part would make another request of it.
    if text.matches('\n').count() != 3 + usize::from(question.scope.is_some()) + question.headers.len() {
        return Err(ApiError::BadRequest("a request's parts can't hold line breaks".into()));
    }
    RequestHead::parse(Bytes::from(text), usize::MAX).map_err(|error| ApiError::BadRequest(error.to_string()))
}
