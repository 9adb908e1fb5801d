//! A decision as a value: `act` runs it, `explain` prints it, tests enumerate it.

use serde::Serialize;

use super::nearby::Candidate;
use crate::names::{ServiceName, SiteName};
use crate::profile::{CapacityError, OpKind};

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
    /// The site that owns the addressed endpoint; of a call within a workflow, the workflow's own entry (AMENDMENTS 11).
    pub entry: SiteName,
    /// The site that owns the addressed endpoint.
    pub addressed: SiteName,
    pub scope: Option<CarriedScope>,
    /// The addressed endpoint's `host:port`.
    pub authority: String,
    /// The path prefix of the addressed endpoint, which the target begins with; empty without one.
    pub prefix: String,
    /// Whether a service at another site sees its own authority as `Host`, instead of the client's.
    pub own_host: bool,
    /// Headers that don't go to another site: credentials that are of use at their own only.
    pub withheld: Vec<String>,
    pub route: Route,
    /// Whether the scope leaves it open at which site the request is served.
    pub choice: Choice,
    /// Where the workflow's earlier calls placed its services.
    pub placed: Vec<(ServiceName, SiteName)>,
    /// For [`Route::FirstOf`]: after which answers of a site the next one is asked.
    pub next_on: NextOn,
    /// What was looked at for `around` and `*`.
    pub candidates: Vec<Candidate>,
    /// Why, in the order in which it was found out.
    pub reasons: Vec<Reason>,
}

impl Plan {
    /// Whether this agent's own site is, or may be, the one that serves the request.
    pub fn may_stay(&self) -> bool {
        self.route == Route::Direct || self.route.destinations().iter().any(|to| to.own)
    }
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
    /// The password of the login `cheops-scope`.
    Basic,
    /// What stands behind its token.
    Token,
    /// `cheops exec`.
    Session,
    /// The request that caused this one.
    Workflow,
}

impl ScopeSource {
    /// Whether all requests of a client carry the scope alike, so that it wasn't said of this one's service in particular.
    pub fn is_blanket(self) -> bool {
        matches!(self, Self::Basic | Self::Token | Self::Session)
    }

    /// As explain and the tap name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Parameter => "parameter",
            Self::Basic => "basic",
            Self::Token => "token",
            Self::Session => "session",
            Self::Workflow => "workflow",
        }
    }
}

/// Whether a request chooses a site, for its workflow's later calls too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The scope names the site, or the sites.
    #[default]
    Fixed,
    /// `||`, `around` or `*`: where this one is served, later calls go.
    Open,
    /// As open, but an earlier call of the workflow has chosen.
    Made,
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
    /// By all of them, whose lists are united. One, if the scope may come to more.
    Gather(Vec<Destination>),
}

impl Route {
    /// As the tap names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::At(_) => "at",
            Self::FirstOf(_) => "first-of",
            Self::Gather(_) => "gather",
        }
    }

    /// The destinations in the order in which they are tried; none when the addressed endpoint serves the request.
    pub fn destinations(&self) -> &[Destination] {
        match self {
            Self::Direct => &[],
            Self::At(one) => std::slice::from_ref(one),
            Self::FirstOf(several) | Self::Gather(several) => several,
        }
    }
}

/// Which answers of one site let `||` go on to the next (AMENDMENTS 15). All others stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NextOn {
    /// A 404: the request is for one resource, and no record says at which site it is.
    pub not_found: bool,
    /// Whatever a site fails by: the request changes nothing, and another site may have the same answer.
    pub failed: bool,
    /// The profile's capacity errors.
    pub capacity: Vec<CapacityError>,
    /// Nothing else does, not even that a site can't be reached: the workflow is at the first one.
    pub stays: bool,
}

/// Whether an answer lets `||` go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoesOn {
    Yes,
    No,
    /// Only if the body holds the text of a capacity error with this status.
    IfBody,
}

impl NextOn {
    /// By the answer's status alone.
    pub fn status(&self, status: u16) -> GoesOn {
        let of_status = || self.capacity.iter().filter(|error| error.status == status);
        let failed = self.failed && status >= 500;
        if failed || (status == 404 && self.not_found) || of_status().any(|error| error.body.is_none()) {
            return GoesOn::Yes;
        }
        if of_status().next().is_some() { GoesOn::IfBody } else { GoesOn::No }
    }

    /// By status and the body's beginning, as much of it as was read.
    pub fn answer(&self, status: u16, body: &[u8]) -> bool {
        match self.status(status) {
            GoesOn::Yes => true,
            GoesOn::No => false,
            GoesOn::IfBody => {
                let mut texts =
                    self.capacity.iter().filter(|error| error.status == status).flat_map(|error| &error.body);
                texts.any(|text| memchr::memmem::find(body, text.as_bytes()).is_some())
            }
        }
    }
}

/// One site's instance of the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Destination {
    pub site: SiteName,
    /// Whether this agent's own site serves it; else a peer does.
    pub own: bool,
    /// The endpoint's own `host:port`.
    pub authority: String,
    /// The endpoint's path prefix; empty without one.
    pub prefix: String,
}

/// One step of the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reason {
    /// Stable, kebab-case.
    pub code: &'static str,
    pub text: String,
}
