//! Ids that are live while a request is served: here, at the site's other agents, and at the agents that it passes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Told;
use crate::act::notes;
use crate::act::reach;
use crate::act::shared::Shared;
use crate::http::{Code, Problem};
use crate::names::{ServiceName, SiteName};
use crate::observe::Limit;
use crate::peer::envelope::MAX_LINKS;
use crate::peer::{Envelope, PeerStream, Refusal};
use crate::plan::{Choice, Plan, Route, ScopeSource};
use crate::workflow::{Caller, Came, Failure, Held, Keep, Link, Links, Maker, WorkflowError, links};

/// Keeps a request's ids live, here and at the site's other agents.
pub struct Kept {
    held: Held,
    _noted: Vec<PeerStream>,
    service: ServiceName,
    /// It is a call within a workflow.
    is_call: bool,
    /// The service was placed by this request, and not before.
    places: AtomicBool,
    since: Instant,
}

impl Kept {
    fn of(held: Held, noted: Vec<PeerStream>, service: &ServiceName, is_call: bool) -> Self {
        let (service, since) = (service.clone(), Instant::now());
        Self { held, _noted: noted, service, is_call, places: AtomicBool::new(false), since }
    }

    /// The request goes to `site`: the workflow's later calls of its service go there, too.
    pub(in crate::act) fn place(&self, site: &SiteName) {
        if self.held.place(&self.service, Some(site)) {
            self.places.store(true, Ordering::Relaxed);
        }
    }

    /// Nothing came of the request there: the workflow is at no site yet, if it was at none before.
    pub(in crate::act) fn displace(&self) {
        if self.places.swap(false, Ordering::Relaxed) {
            self.held.place(&self.service, None);
        }
    }

    /// After a request: whether what it chose stands, and which site it came to.
    pub(in crate::act) fn settle(&self, plan: &Plan, site: Option<&SiteName>, came: Came) {
        let stands = match &came {
            Ok(status) => *status < 400,
            // It may have been done there.
            Err(failure) => matches!(failure.code, Code::OutcomeUnknown | Code::Timeout),
        };
        if plan.choice == Choice::Open && !stands {
            self.displace();
        }
        if let Some(site) = site {
            self.called(site, came);
        }
    }

    /// A call was served, or was not, at that site.
    pub(in crate::act) fn called(&self, site: &SiteName, came: Came) {
        if self.is_call {
            self.held.called(&self.service, site, came);
        }
    }

    /// Why the service failed with that status, where a call that it made for the request had no answer and the profile
    /// says that it doesn't tell.
    pub(in crate::act) fn why_failed(&self, shared: &Shared, status: u16) -> Option<Refusal> {
        if self.is_call || status < 500 {
            return None;
        }
        let (snapshot, profiles) = (shared.snapshot.load(), shared.profiles.load());
        let service = snapshot.service(self.service.as_str())?;
        if !profiles.get_or_default(&service.profile).tells_failed_calls() {
            return None;
        }
        let (called, Failure { code, detail, .. }) = self.held.failed(self.since)?;
        let detail = format!("{} answered {status}, since its call of {called} failed: {detail}", self.service);
        Some(Refusal::sent(code, detail))
    }
}

/// Keeps the ids of a scoped request live until the guard goes; nothing without ids. `credential` is the request's own.
///
/// # Errors
/// The answer, if the request must not be sent.
pub(in crate::act) async fn keep(
    shared: &Shared,
    links: &Links,
    plan: &Plan,
    request: &str,
    told: &Told,
    credential: Option<&[u8]>,
) -> Result<Option<Kept>, Problem> {
    let Some(scope) = &plan.scope else { return Ok(None) };
    let own_scope = scope.source != ScopeSource::Workflow;
    let maker = Maker {
        scope: &scope.completed,
        entry: &plan.entry,
        addressed: own_scope.then_some(&plan.service),
        request,
        brief: told.brief,
        caller: told.caller.as_ref(),
        credential: credential.filter(|_| own_scope),
    };
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
        home: told.home.clone(),
        decided: false,
        brief: told.brief,
        caller: told.caller.as_ref().map(Caller::to_string),
    };
    match notes::tell(shared, &envelope).await {
        Ok(noted) => Ok(Some(Kept::of(held, noted, &plan.service, !own_scope))),
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
pub(in crate::act) async fn keep_for_peer(shared: &Shared, onward: &Envelope) -> Result<Option<Kept>, Refusal> {
    let Some(held) = hold_for_peer(shared, onward)? else { return Ok(None) };
    // A decided one comes from an agent of this site, which has told the others.
    let noted = if onward.decided { Vec::new() } else { notes::tell(shared, onward).await? };
    let kept = Kept::of(held, noted, &onward.service, !onward.own_scope);
    if onward.placed.iter().any(|(service, _)| service == onward.service.as_str()) {
        kept.place(&onward.site);
    }
    Ok(Some(kept))
}

/// Keeps the ids of a peer's request live until the guard goes, here alone.
///
/// # Errors
/// Nothing was sent.
fn hold_for_peer(shared: &Shared, envelope: &Envelope) -> Result<Option<Held>, Refusal> {
    let Some(scope) = &envelope.scope else { return Ok(None) };
    // An agent that says none, or in another form, doesn't know whose it is.
    let caller: Option<Caller> = envelope.caller.as_ref().and_then(|caller| caller.parse().ok());
    let maker = Maker {
        scope,
        entry: &envelope.entry,
        addressed: envelope.own_scope.then_some(&envelope.service),
        request: &envelope.request,
        brief: envelope.brief,
        caller: caller.as_ref(),
        credential: None,
    };
    // A credential stands behind the ids.
    let links = envelope.links.iter().take(links::MAX_LINKS + 1);
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
pub(in crate::act) fn note(shared: &Shared, envelope: &Envelope) -> Result<Option<Held>, Refusal> {
    let held = hold_for_peer(shared, envelope)?;
    let here = envelope.placed.iter().find(|(service, _)| service == envelope.service.as_str());
    if let (Some(held), Some((_, site))) = (&held, here) {
        held.place(&envelope.service, Some(&site.as_str().into()));
    }
    Ok(held)
}

fn held(shared: &Shared, links: Vec<Link>, maker: Maker<'_>) -> Result<Option<Held>, WorkflowError> {
    let held = shared.workflows.hold(links, maker, Keep::of(&shared.config.load()));
    if matches!(held, Err(WorkflowError::Full(_))) {
        shared.observer.limit(Limit::WorkflowRecords);
    }
    held
}

/// Where the workflow's services are placed, as an envelope carries it; `to` is where a request that chooses goes.
pub(in crate::act) fn placed(plan: &Plan, to: Option<&SiteName>) -> Vec<(String, String)> {
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
pub(in crate::act) fn for_envelope(links: &Links) -> Vec<(String, String)> {
    links.iter().map(|(_, link)| (link.name.clone(), link.value.clone())).collect()
}
