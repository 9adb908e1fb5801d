//! A decision as a value: `act` runs it, `explain` prints it, tests enumerate it.

use serde::Serialize;

use crate::names::{ServiceName, SiteName};

/// What is done with one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    pub service: ServiceName,
    /// The kind of resource, as the profile names it.
    pub kind: Option<String>,
    /// The resource's id, from the path.
    pub id: Option<String>,
    pub op: OpKind,
    /// The site that owns the addressed endpoint (AMENDMENTS 11).
    pub entry: SiteName,
    pub scope: Option<CarriedScope>,
    pub route: Route,
    /// Why, in the order in which it was found out.
    pub reasons: Vec<Reason>,
}

/// A scope, where it was found, and its completed form that travels with the workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CarriedScope {
    pub source: ScopeSource,
    /// Normal form of what the request said.
    pub normal: String,
    /// JSON normal form with every bound service and `default`: the entry site.
    pub completed: String,
}

/// Where a request's scope was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeSource {
    Header,
    Parameter,
    /// `cheops exec`.
    Session,
    /// The request that caused this one.
    Workflow,
}

/// What the request does, as the profile sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpKind {
    Read,
    List,
    Create,
    Replace,
    Merge,
    Add,
    Once,
    Delete,
    /// The profile says nothing about it.
    Unknown,
}

/// Where the request is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// By the endpoint that was addressed, over the connection that was dialled for this client.
    Direct,
    /// By this one (sharing).
    At(Destination),
    /// By the first that can (otherwise). At least two.
    FirstOf(Vec<Destination>),
}

/// One site's instance of the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Destination {
    pub site: SiteName,
    /// Whether this agent's own site serves it; else a peer does.
    pub own: bool,
}

/// One step of the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reason {
    /// Stable, kebab-case.
    pub code: &'static str,
    pub text: String,
}
