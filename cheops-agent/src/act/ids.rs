//! What the data path does with the ids of requests: finds the scope that a call inherits, and keeps the ids of scoped
//! requests live while they are served.

mod asking;
mod entry;
mod kept;

pub use asking::Memory;
pub(super) use asking::{answer, ask, unknown};
pub use entry::Restored;
pub(super) use entry::{Entered, enter};
pub use kept::Kept;
pub(super) use kept::{for_envelope, keep, keep_for_peer, note, placed};

use memchr::memmem;

use super::shared::Shared;
use crate::address::OrigDst;
use crate::config::Config;
use crate::http::RequestHead;
use crate::metadata::{Service, Snapshot};
use crate::names::{ServiceName, SiteName};
use crate::observe::EventLink;
use crate::plan::{OpKind, Plan, ScopeSource, target};
use crate::profile::Profile;
use crate::scope::carriers;
use crate::workflow::links::{self, Named};
use crate::workflow::{Caller, Keep, Linked, Links, Told as Home, WorkflowError};

/// What the agents that a request passes are told of its workflow, besides the scope and the ids.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Nothing goes on after its answer.
    pub brief: bool,
    /// Whose it is.
    pub caller: Option<Caller>,
    /// Where its credential was issued.
    pub home: Option<Home>,
}

/// What of a request's head says where it belongs.
struct Signs<'a> {
    links: Links,
    credential: Option<&'a [u8]>,
    /// The service that it addresses, and the site of the endpoint.
    addressed: Option<(ServiceName, SiteName)>,
}

impl<'a> Signs<'a> {
    fn of(shared: &Shared, snapshot: &Snapshot, head: &'a RequestHead, orig: OrigDst) -> Self {
        let addressed = target::addressed(snapshot, orig, head.target()).ok();
        let profiles = shared.profiles.load();
        let profile = addressed.as_ref().map(|found| &**profiles.get_or_default(&found.service.profile));
        Self {
            links: links::of(head, named(head, profile)),
            credential: credential(head, profile),
            addressed: addressed.map(|found| (found.service.name.clone(), found.site.clone())),
        }
    }
}

/// What links a request to such a service.
fn named<'a>(head: &'a RequestHead, profile: Option<&'a Profile>) -> Named<'a> {
    let links = profile.and_then(|profile| profile.file.platform.credentials.as_ref()).is_some_and(|one| one.links);
    Named {
        correlation: profile.map(Profile::correlation).unwrap_or_default(),
        credential: if links { credential(head, profile) } else { None },
    }
}

/// The credential that a request comes with, without a scope that stands behind it.
pub(super) fn credential<'a>(head: &'a RequestHead, profile: Option<&Profile>) -> Option<&'a [u8]> {
    let credentials = profile?.file.platform.credentials.as_ref()?;
    let value = head.first(&credentials.header)?;
    let end = memmem::find(value, carriers::MARK).filter(|_| credentials.carries_scope);
    value.get(..end.unwrap_or(value.len())).filter(|credential| !credential.is_empty())
}

/// The same, of a request whose service is known.
pub(super) fn credential_for<'a>(shared: &Shared, head: &'a RequestHead, service: &ServiceName) -> Option<&'a [u8]> {
    let (snapshot, profiles) = (shared.snapshot.load(), shared.profiles.load());
    let service: &Service = snapshot.service(service.as_str())?;
    credential(head, Some(profiles.get_or_default(&service.profile)))
}

/// What a request is linked to, if it carries a live id and no scope header. A call that follows its cause is served by
/// the scope of that.
///
/// # Errors
/// When its ids stand for several scopes.
pub(super) fn inherited(
    shared: &Shared,
    config: &Config,
    snapshot: &Snapshot,
    head: &RequestHead,
    orig: OrigDst,
) -> Result<Option<Linked>, WorkflowError> {
    if shared.workflows.is_empty() {
        return Ok(None);
    }
    cause(shared, config, snapshot, head, orig, |signs, keep| {
        let cause = shared.workflows.find(&signs.links, signs.credential, keep)?;
        if let (Some(Linked { found, follows: false }), Some((service, site))) = (&cause, &signs.addressed) {
            shared.workflows.stays(found, service, site, keep);
        }
        Ok(cause)
    })
}

/// As [`inherited`], for somebody who only asks: nothing is counted.
///
/// # Errors
/// When its ids stand for several scopes.
pub fn explained(
    shared: &Shared,
    config: &Config,
    snapshot: &Snapshot,
    head: &RequestHead,
    orig: OrigDst,
) -> Result<Option<Linked>, WorkflowError> {
    cause(shared, config, snapshot, head, orig, |signs, keep| {
        let (found, _) = shared.workflows.look(&signs.links, keep)?;
        Ok(found.map(|found| Linked::of(found, signs.credential)))
    })
}

/// What is found by a request's signs; a scope header outranks them.
fn cause(
    shared: &Shared,
    config: &Config,
    snapshot: &Snapshot,
    head: &RequestHead,
    orig: OrigDst,
    find: impl FnOnce(&Signs<'_>, Keep) -> Result<Option<Linked>, WorkflowError>,
) -> Result<Option<Linked>, WorkflowError> {
    match head.first(&config.scope.header) {
        Some(_) => Ok(None),
        None => find(&Signs::of(shared, snapshot, head, orig), Keep::of(config)),
    }
}

/// The link as people see it.
pub fn shown(cause: &Linked) -> EventLink {
    let link = &cause.found.link;
    EventLink {
        kind: cause.found.kind.as_str(),
        // Nobody is shown anything of a credential.
        id: (!link.is_credential()).then(|| link.value.clone()),
        request: cause.found.story.request.clone(),
        follows: cause.follows,
    }
}

/// What is told of a request's workflow: of a call what is known of its cause.
pub(super) fn told(
    shared: &Shared,
    head: &RequestHead,
    links: &Links,
    plan: &Plan,
    request: &str,
    cause: Option<&Linked>,
) -> Told {
    let within = plan.scope.as_ref().is_some_and(|scope| scope.source == ScopeSource::Workflow);
    if let Some(Linked { found, .. }) = cause.filter(|_| within) {
        return Told { brief: found.brief, caller: found.caller.clone(), home: None };
    }
    let brief = match plan.op {
        OpKind::Read | OpKind::List => true,
        OpKind::Unknown => matches!(head.method(), "GET" | "HEAD" | "OPTIONS"),
        _ => false,
    };
    let credential = credential_for(shared, head, &plan.service).filter(|_| !links.is_empty());
    let caller = credential.map(|credential| shared.workflows.caller(links, credential, request));
    Told { brief, caller, home: None }
}
