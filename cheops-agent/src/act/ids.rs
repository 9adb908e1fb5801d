//! What the data path does with the ids of requests: finds the scope that a call inherits, and keeps the ids of scoped
//! requests live while they are served.

mod entry;

use std::sync::atomic::{AtomicBool, Ordering};

pub use entry::Restored;
pub(super) use entry::{Entered, enter};

use super::notes;
use super::reach;
use super::shared::Shared;
use crate::address::OrigDst;
use crate::config::Config;
use crate::http::{Code, Problem, RequestHead};
use crate::metadata::{Service, Snapshot};
use crate::names::{ServiceName, SiteName};
use crate::observe::Limit;
use crate::peer::envelope::MAX_LINKS;
use crate::peer::{Envelope, PeerStream, Refusal};
use crate::plan::{Choice, OpKind, Plan, Route, ScopeSource, target};
use crate::workflow::{Found, Held, Keep, Link, Links, Maker, WorkflowError, links};

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
) -> Result<Option<Found>, WorkflowError> {
    if shared.workflows.is_empty() || head.first(&config.scope.header).is_some() {
        return Ok(None);
    }
    let service = target::addressed(snapshot, orig, head.target()).ok().map(|found| found.service);
    shared.workflows.find(&of(shared, head, service.map(|service| &**service)))
}

/// Whether nothing goes on after the request's answer: of a call what is known of its cause, `found`, says so.
pub(super) fn is_brief(head: &RequestHead, plan: &Plan, found: Option<&Found>) -> bool {
    let within = plan.scope.as_ref().is_some_and(|scope| scope.source == ScopeSource::Workflow);
    match (found, plan.op) {
        (Some(found), _) if within => found.brief,
        (_, OpKind::Read | OpKind::List) => true,
        (_, OpKind::Unknown) => matches!(head.method(), "GET" | "HEAD" | "OPTIONS"),
        _ => false,
    }
}

fn of(shared: &Shared, head: &RequestHead, service: Option<&Service>) -> Links {
    let profiles = shared.profiles.load();
    let correlation = service.map(|service| profiles.get_or_default(&service.profile).correlation());
    links::of(head, correlation.unwrap_or_default())
}

/// Keeps a request's ids live, here and at the site's other agents.
pub struct Kept {
    held: Held,
    _noted: Vec<PeerStream>,
    service: ServiceName,
    /// The service was placed by this request, and not before.
    places: AtomicBool,
}

impl Kept {
    fn of(held: Held, noted: Vec<PeerStream>, service: &ServiceName) -> Self {
        Self { held, _noted: noted, service: service.clone(), places: AtomicBool::new(false) }
    }

    /// The request goes to `site`: the workflow's later calls of its service go there, too.
    pub(super) fn place(&self, site: &SiteName) {
        if self.held.place(&self.service, Some(site)) {
            self.places.store(true, Ordering::Relaxed);
        }
    }

    /// Nothing came of the request there: the workflow is at no site yet, if it was at none before.
    pub(super) fn displace(&self) {
        if self.places.swap(false, Ordering::Relaxed) {
            self.held.place(&self.service, None);
        }
    }

    /// After a request that chose: whether the choice stands. `ended`: the answer's status, or why there is none.
    pub(super) fn settle(&self, plan: &Plan, ended: Result<u16, Code>) {
        let stands = match ended {
            Ok(status) => status < 400,
            // It may have been done there.
            Err(code) => matches!(code, Code::OutcomeUnknown | Code::Timeout),
        };
        if plan.choice == Choice::Open && !stands {
            self.displace();
        }
    }
}

/// Keeps the ids of a scoped request live until the guard goes; nothing without ids.
///
/// # Errors
/// The answer, if the request must not be sent.
pub(super) async fn keep(
    shared: &Shared,
    links: &Links,
    plan: &Plan,
    request: &str,
    brief: bool,
) -> Result<Option<Kept>, Problem> {
    let Some(scope) = &plan.scope else { return Ok(None) };
    let own_scope = scope.source != ScopeSource::Workflow;
    let addressed = own_scope.then_some(&plan.service);
    let maker = Maker { scope: &scope.completed, entry: &plan.entry, addressed, request, brief };
    let held = held(shared, links.iter().map(|(_, link)| link.clone()).collect(), maker);
    let Some(held) = held.map_err(|error| error.problem())? else { return Ok(None) };
    let here = reach::here(shared);
    let envelope = Envelope {
        placed: placed(plan, (plan.may_stay() && !matches!(plan.route, Route::Gather(_))).then_some(&here.site)),
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
        brief,
    };
    match notes::tell(shared, &envelope).await {
        Ok(noted) => Ok(Some(Kept::of(held, noted, &plan.service))),
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
    let kept = Kept::of(held, noted, &onward.service);
    if onward.placed.iter().any(|(service, _)| service == onward.service.as_str()) {
        kept.place(&onward.site);
    }
    Ok(Some(kept))
}

/// Keeps the ids of a peer's request live until the guard goes, here alone.
///
/// # Errors
/// Nothing was sent.
pub(super) fn hold_for_peer(shared: &Shared, envelope: &Envelope) -> Result<Option<Held>, Refusal> {
    let Some(scope) = &envelope.scope else { return Ok(None) };
    let addressed = envelope.own_scope.then_some(&envelope.service);
    let (request, brief) = (&envelope.request, envelope.brief);
    let maker = Maker { scope, entry: &envelope.entry, addressed, request, brief };
    let links = envelope.links.iter().take(links::MAX_LINKS);
    let links = links.map(|(name, value)| Link { name: name.clone(), value: value.clone() }).collect();
    let held = held(shared, links, maker).map_err(|error| {
        let problem = error.problem();
        Refusal::not_sent(problem.code, problem.detail)
    })?;
    for (service, site) in &envelope.placed {
        // The request's own place is its receiver's to keep or to take back.
        if let Some(held) = held.as_ref().filter(|_| service != envelope.service.as_str()) {
            held.place(&service.as_str().into(), Some(&site.as_str().into()));
        }
    }
    Ok(held)
}

/// Keeps the ids of a request of another agent of this site live until the guard goes, and where that request is served.
///
/// # Errors
/// They are live under another scope.
pub(super) fn note(shared: &Shared, envelope: &Envelope) -> Result<Option<Held>, Refusal> {
    let held = hold_for_peer(shared, envelope)?;
    let here = envelope.placed.iter().find(|(service, _)| service == envelope.service.as_str());
    if let (Some(held), Some((_, site))) = (&held, here) {
        held.place(&envelope.service, Some(&site.as_str().into()));
    }
    Ok(held)
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

/// Where the workflow's services are placed, as an envelope carries it; `to` is where a request that chooses goes.
pub(super) fn placed(plan: &Plan, to: Option<&SiteName>) -> Vec<(String, String)> {
    let chosen = to.filter(|_| plan.choice == Choice::Open).map(|to| (&plan.service, to));
    let before = plan.placed.iter().map(|(service, site)| (service, site));
    chosen
        .into_iter()
        .chain(before)
        .take(MAX_LINKS)
        .map(|(service, site)| (service.to_string(), site.to_string()))
        .collect()
}

/// As an envelope carries them.
pub(super) fn for_envelope(links: &Links) -> Vec<(String, String)> {
    links.iter().map(|(_, link)| (link.name.clone(), link.value.clone())).collect()
}
