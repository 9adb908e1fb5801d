//! What is known of one id: whose scope it stands for, and what a request inherits by it.

use std::sync::Arc;
use std::time::Instant;

use super::caller::Caller;
use super::counters::Refused;
use super::links::{Kind, Link};
use super::story::Story;
use crate::http::{Code, Problem};
use crate::names::{ServiceName, SiteName};
use crate::plan;
use crate::scope::{Completed, ScopeError};

/// A scope that calls inherit.
#[derive(Debug, PartialEq, Eq)]
pub struct Inherited {
    pub scope: Completed,
    /// The workflow's entry site.
    pub entry: SiteName,
}

/// What a request inherits by its ids.
#[derive(Clone, Debug)]
pub struct Found {
    /// Of the first id that stands for it, and that id.
    pub kind: Kind,
    pub link: Arc<Link>,
    pub scope: Arc<Inherited>,
    /// Where earlier calls were served, of services for which the scope leaves that open.
    pub placed: Vec<(ServiceName, SiteName)>,
    /// [`Maker::brief`].
    pub brief: bool,
    /// Whose the workflow is; none where that isn't known.
    pub caller: Option<Caller>,
    pub story: Arc<Story>,
}

impl Found {
    /// As the plan takes it.
    pub fn workflow(&self) -> plan::Workflow<'_> {
        plan::Workflow { scope: &self.scope.scope, entry: &self.scope.entry, placed: &self.placed }
    }

    /// Whether a call with this credential is on behalf of whom the workflow is; one without any follows its cause.
    pub fn is_of(&self, credential: Option<&[u8]>) -> bool {
        match (&self.caller, credential) {
            (Some(caller), Some(credential)) => caller.is(credential),
            _ => true,
        }
    }
}

/// A scoped request whose ids become live.
#[derive(Clone, Copy, Debug)]
pub struct Maker<'a> {
    /// Its completed scope, as text.
    pub scope: &'a str,
    pub entry: &'a SiteName,
    /// What it addresses, if the scope is its own; nothing for a call within a workflow.
    pub addressed: Option<&'a ServiceName>,
    /// `X-Cheops-Request`.
    pub request: &'a str,
    /// It only reads: nothing goes on after its answer but what it began before.
    pub brief: bool,
    /// Whose the workflow is; none where that isn't known.
    pub caller: Option<&'a Caller>,
    /// The request's own credential, where it is at hand: for a comparison, and not kept.
    pub credential: Option<&'a [u8]>,
}

impl Maker<'_> {
    /// Whether the request is somebody else's than that; None where it can't be known.
    pub(super) fn is_other(&self, caller: &Caller) -> Option<bool> {
        match (self.credential, self.caller) {
            (Some(credential), _) => Some(!caller.is(credential)),
            (None, Some(own)) => caller.same(own).map(|same| !same),
            (None, None) => None,
        }
    }
}

/// Why a request can't be linked to one scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkflowError {
    #[error("the id in {link} is live under the scope of request {request}, which is another")]
    InUse { link: String, request: String },
    #[error("the id in {link} is live for another caller, by request {request}")]
    OthersUse { link: String, request: String },
    #[error("its ids link it to request {one} and to request {other}, whose scopes differ")]
    Ambiguous { one: String, other: String },
    #[error("{0} ids of scoped requests are live, and no more are kept")]
    Full(usize),
    /// Of a peer: this agent's own are well-formed.
    #[error("{0}")]
    Scope(#[from] ScopeError),
}

impl WorkflowError {
    /// The answer that the request gets.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::InUse { .. } | Self::OthersUse { .. } => Code::RequestIdInUse,
            Self::Ambiguous { .. } => Code::AmbiguousWorkflow,
            Self::Full(_) => Code::TooManyWorkflows,
            Self::Scope(error) => return error.problem(),
        };
        Problem::new(code, self.to_string())
    }

    pub(super) fn counted(&self) -> Option<Refused> {
        match self {
            Self::InUse { .. } | Self::OthersUse { .. } => Some(Refused::InUse),
            Self::Ambiguous { .. } => Some(Refused::Ambiguous),
            Self::Full(_) => Some(Refused::Full),
            Self::Scope(_) => None,
        }
    }
}

/// An id under one scope. Requests that share both share the record.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) scope: Arc<Inherited>,
    pub(super) story: Arc<Story>,
    /// What the requests addressed that brought the scope with them.
    pub(super) addressed: Vec<ServiceName>,
    /// Where its calls are served.
    pub(super) placed: Vec<(ServiceName, SiteName)>,
    pub(super) caller: Option<Caller>,
    /// Requests that have no answer yet.
    pub(super) open: usize,
    /// When it ends, once none is open.
    pub(super) until: Instant,
    /// Whether it stands among those that will end.
    pub(super) ending: bool,
    /// None of the requests that brought the scope with them did more than read.
    pub(super) brief: bool,
}

impl Record {
    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.open > 0 || self.until > now
    }
}

/// What a credential alone links a request to.
#[derive(Debug)]
pub(super) enum Sole {
    Nothing,
    One(Found),
    /// Several scopes: it is none of them.
    Several,
}

impl Record {
    pub(super) fn found(&self, kind: Kind, link: &Arc<Link>, placed: Vec<(ServiceName, SiteName)>) -> Found {
        let (scope, story, caller) = (self.scope.clone(), self.story.clone(), self.caller.clone());
        Found { kind, link: link.clone(), scope, placed, brief: self.brief, caller, story }
    }
}

/// Whether a request with an own scope uses an id that others have.
///
/// # Errors
/// It does.
pub(super) fn used<'a>(
    link: &Link,
    mut live: impl Iterator<Item = &'a Record> + Clone,
    scope: &Arc<Inherited>,
    addressed: &ServiceName,
    maker: &Maker<'_>,
) -> Result<(), WorkflowError> {
    let others = |record: &&Record| record.caller.as_ref().is_some_and(|caller| maker.is_other(caller) == Some(true));
    if let Some(used) = live.clone().find(others) {
        return Err(WorkflowError::OthersUse { link: link.name.clone(), request: used.story.request.clone() });
    }
    let other = |record: &&Record| !Arc::ptr_eq(&record.scope, scope) && record.addressed.contains(addressed);
    match live.find(other) {
        Some(used) => Err(WorkflowError::InUse { link: link.name.clone(), request: used.story.request.clone() }),
        None => Ok(()),
    }
}
