//! A scoped request on its way, and what came of it.

use bytes::Bytes;

use super::exchange::{ExchangeError, Finished};
use super::ids::{Kept, Restored, Told};
use super::marks::{Marks, Tried};
use crate::address::ClientAddr;
use crate::http::{BodyLength, Problem, RequestHead};
use crate::names::SiteName;
use crate::plan::Plan;
use crate::workflow::Links;

/// A scoped request. Its body is pending at the client, or still comes.
#[derive(Clone, Copy)]
pub struct Scoped<'a> {
    pub request: &'a RequestHead,
    /// The request's head without its scope.
    pub head: &'a Bytes,
    pub plan: &'a Plan,
    pub client: ClientAddr,
    /// The client's connection's number; a later request of the same connection has the same.
    pub connection: u64,
    /// `X-Cheops-Request`.
    pub id: &'a str,
    /// The ids by which calls below it are linked to it; they are live already.
    pub links: &'a Links,
    /// Keeps them so; none without ids.
    pub kept: Option<&'a Kept>,
    /// What the client finds again in its answer.
    pub restored: &'a Restored,
    /// What the agents that it passes are told of its workflow.
    pub told: &'a Told,
}

impl<'a> Scoped<'a> {
    /// What its answer says of it.
    pub(super) fn marks(&self, tried: &'a [Tried]) -> Marks<'a> {
        Marks { request: self.id, restored: self.restored, tried }
    }
}

/// What came of a scoped request.
pub struct Ran {
    /// The sites that were asked, in order; the last one answered, or was the last that could have.
    pub sites: Vec<SiteName>,
    pub ended: Result<Finished, RunError>,
}

/// Why a scoped request got no whole answer of a service.
#[derive(Debug)]
pub enum RunError {
    /// The client has seen nothing of an answer: the agent answers this.
    Refused {
        problem: Problem,
        /// Whether the request's body was taken from the client whole, so that its connection can go on.
        body_taken: bool,
    },
    /// The client's side broke, or the answer had begun: the client's connection must end so that it shows.
    Exchange(ExchangeError),
}

impl RunError {
    pub(super) fn refused(problem: Problem, request: &RequestHead) -> Self {
        Self::Refused { problem, body_taken: request.length() == BodyLength::None }
    }
}
