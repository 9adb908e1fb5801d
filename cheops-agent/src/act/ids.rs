//! What the data path does with the ids of requests: finds the scope that a call inherits, and keeps the ids of scoped
//! requests live while they are served.

use std::sync::Arc;

use super::notes;
use super::reach;
use super::shared::Shared;
use crate::address::OrigDst;
use crate::config::Config;
use crate::http::{Problem, RequestHead};
use crate::metadata::{Service, Snapshot};
use crate::observe::Limit;
use crate::peer::{Envelope, PeerStream, Refusal};
use crate::plan::{Plan, ScopeSource, target};
use crate::workflow::{Held, Inherited, Keep, Link, Links, Maker, WorkflowError, links};

/// The scope that a request inherits from the one that caused it, if it carries a live id and no scope header.
///
/// # Errors
/// When its ids stand for several scopes.
pub(super) fn inherited(
    shared: &Shared,
    config: &Config,
    snapshot: &Snapshot,
    head: &RequestHead,
    orig: OrigDst,
) -> Result<Option<Arc<Inherited>>, WorkflowError> {
    if shared.workflows.is_empty() || head.first(&config.scope.header).is_some() {
        return Ok(None);
    }
    let service = target::addressed(snapshot, orig, head.target()).ok().map(|found| found.service);
    shared.workflows.find(&of(shared, head, service.map(|service| &**service)))
}

/// The ids of a scoped request.
pub(super) fn of_planned(shared: &Shared, head: &RequestHead, plan: &Plan) -> Links {
    let snapshot = shared.snapshot.load();
    of(shared, head, snapshot.service(plan.service.as_str()).map(|service| &**service))
}

fn of(shared: &Shared, head: &RequestHead, service: Option<&Service>) -> Links {
    let profiles = shared.profiles.load();
    let correlation = service.map(|service| profiles.get_or_default(&service.profile).correlation());
    links::of(head, correlation.unwrap_or_default())
}

/// Keeps a request's ids live, here and at the site's other agents.
pub(super) struct Kept {
    _held: Held,
    _noted: Vec<PeerStream>,
}

/// Keeps the ids of a scoped request live until the guard goes; nothing without ids.
///
/// # Errors
/// The answer, if the request must not be sent.
pub(super) async fn keep(shared: &Shared, links: &Links, plan: &Plan, request: &str) -> Result<Option<Kept>, Problem> {
    let Some(scope) = &plan.scope else { return Ok(None) };
    let own_scope = scope.source != ScopeSource::Workflow;
    let addressed = own_scope.then_some(&plan.service);
    let maker = Maker { scope: &scope.completed, entry: &plan.entry, addressed, request };
    let held = held(shared, links.iter().map(|(_, link)| link.clone()).collect(), maker);
    let Some(held) = held.map_err(|error| error.problem())? else { return Ok(None) };
    let here = reach::here(shared);
    let envelope = Envelope {
        site: here.site.clone(),
        service: plan.service.clone(),
        endpoint: format!("{}{}", plan.authority, plan.prefix),
        scope: Some(scope.completed.clone()),
        own_scope,
        entry: plan.entry.clone(),
        hops: vec![here],
        request: request.to_owned(),
        links: for_envelope(links),
        deadline: None,
        client: None,
        connection: None,
        decided: false,
    };
    match notes::tell(shared, &envelope).await {
        Ok(noted) => Ok(Some(Kept { _held: held, _noted: noted })),
        Err(refusal) => {
            held.forget();
            Err(Problem::new(refusal.code, refusal.detail))
        }
    }
}

/// Keeps the ids of a peer's request live until the guard goes; `onward` is its envelope with this agent as last hop.
///
/// # Errors
/// Nothing was sent.
pub(super) async fn keep_for_peer(shared: &Shared, onward: &Envelope) -> Result<Option<Kept>, Refusal> {
    let Some(held) = hold_for_peer(shared, onward)? else { return Ok(None) };
    // A decided one comes from an agent of this site, which has told the others.
    let noted = if onward.decided { Vec::new() } else { notes::tell(shared, onward).await? };
    Ok(Some(Kept { _held: held, _noted: noted }))
}

/// Keeps the ids of a peer's request live until the guard goes, here alone.
///
/// # Errors
/// Nothing was sent.
pub(super) fn hold_for_peer(shared: &Shared, envelope: &Envelope) -> Result<Option<Held>, Refusal> {
    let Some(scope) = &envelope.scope else { return Ok(None) };
    let addressed = envelope.own_scope.then_some(&envelope.service);
    let maker = Maker { scope, entry: &envelope.entry, addressed, request: &envelope.request };
    let links = envelope.links.iter().take(links::MAX_LINKS);
    let links = links.map(|(name, value)| Link { name: name.clone(), value: value.clone() }).collect();
    held(shared, links, maker).map_err(|error| {
        let problem = error.problem();
        Refusal::not_sent(problem.code, problem.detail)
    })
}

fn held(shared: &Shared, links: Vec<Link>, maker: Maker<'_>) -> Result<Option<Held>, WorkflowError> {
    let config = shared.config.load();
    let keep = Keep { records: config.limits.workflow_records, after: config.timeouts.workflow };
    let held = shared.workflows.hold(links, maker, keep);
    if matches!(held, Err(WorkflowError::Full(_))) {
        shared.observer.limit(Limit::WorkflowRecords);
    }
    held
}

/// As an envelope carries them.
pub(super) fn for_envelope(links: &Links) -> Vec<(String, String)> {
    links.iter().map(|(_, link)| (link.name.clone(), link.value.clone())).collect()
}
