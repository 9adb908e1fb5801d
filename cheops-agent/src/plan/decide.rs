//! From a request, and what is known of the world, to what is done with it.

use bytes::Bytes;

use crate::address::OrigDst;
use crate::config::HostHeader;
use crate::http::head::RequestHead;
use crate::http::{BodyLength, Code, Problem, query};
use crate::metadata::snapshot::{Addressed, Service};
use crate::names::{ServiceName, SiteName};
use crate::profile::{Matched, OpKind, Profile};
use crate::scope::carriers::{self, Allowed};
use crate::scope::{self, Carrier, Completed, Scope};

use super::binding::{self, Binding};
use super::marker::Marker;
use super::model::{CarriedScope, Choice, Destination, NextOn, Plan, Reason, Route, ScopeSource};
use super::nearby::Wants;
use super::target::TargetError;
use super::world::World;
use super::{reason, target};

/// A request, and what is known of where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub head: &'a RequestHead,
    pub orig: OrigDst,
    /// The scope of the `exec` session whose process sent it.
    pub session: Option<&'a str>,
    /// The scope of the request that caused it. A record never applies to the request that created it.
    pub workflow: Option<Workflow<'a>>,
}

/// What a call inside a workflow inherits.
#[derive(Clone, Copy, Debug)]
pub struct Workflow<'a> {
    pub scope: &'a Completed,
    /// The workflow's entry site.
    pub entry: &'a SiteName,
    /// Where its earlier calls were served, of services for which the scope leaves that open.
    pub placed: &'a [(ServiceName, SiteName)],
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: its bytes go on as they came.
    Unscoped,
    /// `head` is the request's without its scope; [`forward`](super::forward) fits it to each destination.
    Scoped { plan: Box<Plan>, head: Bytes },
    /// It carries a scope that can't be honoured. It is never served without it.
    Refused(Problem),
}

/// Decides about one request. The common case, no scope at all, costs one look at the fields and the query.
pub fn decide(asked: &Asked<'_>, world: &World<'_>) -> Decision {
    let silent = !carriers::may_carry(asked.head, world.carriers);
    if silent && asked.session.is_none() && asked.workflow.is_none() {
        return Decision::Unscoped;
    }
    match examine(asked, world) {
        Err(problem) => Decision::Refused(problem),
        Ok(Some((plan, head))) if plan.scope.is_some() => Decision::Scoped { plan: Box::new(plan), head },
        Ok(_) => Decision::Unscoped,
    }
}

/// The plan of any request, also of one without a scope; None when no service is addressed and no scope asks for one.
///
/// # Errors
/// The answer that the request would get from the agent.
pub fn explain(asked: &Asked<'_>, world: &World<'_>) -> Result<Option<Plan>, Problem> {
    Ok(examine(asked, world)?.map(|(plan, _)| plan))
}

/// A scope that counts, from wherever it comes.
enum Counts<'a> {
    Own(Scope, ScopeSource),
    Inherited(Workflow<'a>),
}

impl<'a> Counts<'a> {
    fn placed(&self) -> &'a [(ServiceName, SiteName)] {
        if let Self::Inherited(workflow) = self { workflow.placed } else { &[] }
    }
}

fn examine(asked: &Asked<'_>, world: &World<'_>) -> Result<Option<(Plan, Bytes)>, Problem> {
    let addressed = target::addressed(world.snapshot, asked.orig, asked.head.target());
    let token = |service: &Service| world.profiles.get_or_default(&service.profile).scope_header();
    let allowed = match &addressed {
        Ok(found) => Allowed { parameter: found.service.parameter, token: token(found.service) },
        Err(_) => {
            let at = || world.snapshot.at(asked.orig.get());
            Allowed {
                parameter: at().any(|found| found.service.parameter),
                token: at().find_map(|found| token(found.service)),
            }
        }
    };
    let carried = carriers::find(asked.head, world.carriers, allowed).map_err(|error| error.problem())?;
    let cut = carried.as_ref().map(|carried| carried.cut.clone()).unwrap_or_default();
    let mut outranked = Vec::new();
    let counts = if let Some(carried) = carried {
        outranked.extend(asked.workflow.map(|_| ScopeSource::Workflow));
        outranked.extend(asked.session.map(|_| ScopeSource::Session));
        let source = match carried.source {
            Carrier::Header => ScopeSource::Header,
            Carrier::Parameter => ScopeSource::Parameter,
            Carrier::Basic => ScopeSource::Basic,
            Carrier::Token => ScopeSource::Token,
        };
        Some(Counts::Own(resolved(&carried.scope, world)?, source))
    } else if let Some(workflow) = asked.workflow {
        outranked.extend(asked.session.map(|_| ScopeSource::Session));
        Some(Counts::Inherited(workflow))
    } else if let Some(text) = asked.session {
        let scope = scope::parse(text).map_err(|error| error.problem())?;
        Some(Counts::Own(resolved(&scope, world)?, ScopeSource::Session))
    } else {
        None
    };
    let found = match (addressed, &counts) {
        (Ok(found), _) => found,
        (Err(_), None) => return Ok(None),
        // A workflow's scope speaks of services only; nobody asked for it at this address.
        (Err(TargetError::NoService | TargetError::NoPrefix), Some(Counts::Inherited(_))) => return Ok(None),
        (Err(error), Some(_)) => {
            return Err(Problem::new(Code::UnmatchedTarget, format!("can't honour the scope: {error}")));
        }
    };
    let request = Request::new(asked, world, &found);
    let plan = match counts {
        None => request.unscoped(),
        Some(counts) => request.scoped(counts, &outranked)?,
    };
    Ok(Some((plan, asked.head.without(&cut))))
}

fn resolved(scope: &Scope, world: &World<'_>) -> Result<Scope, Problem> {
    scope::resolve(scope, world.snapshot).map_err(|error| error.problem())
}

/// A request whose service is known.
struct Request<'a> {
    found: &'a Addressed<'a>,
    profile: &'a Profile,
    matched: Matched<'a>,
    wants: Wants,
    target: &'a str,
    world: World<'a>,
}

impl<'a> Request<'a> {
    fn new(asked: &Asked<'a>, world: &World<'a>, found: &'a Addressed<'a>) -> Self {
        let profile = world.profiles.get_or_default(&found.service.profile);
        let target = asked.head.target();
        let path = target::path_range(target).and_then(|range| target.get(range)).unwrap_or_default();
        let path = target::behind(path, &found.endpoint.prefix).unwrap_or(path);
        let matched = profile.matching(found.service.kind.as_deref(), asked.head.method(), path);
        let no_body = matches!(asked.head.length(), BodyLength::None | BodyLength::Exact(0));
        let wants = match matched.op {
            OpKind::List if no_body => Wants::List,
            OpKind::Create => Wants::Create,
            OpKind::Describe => Wants::Describe,
            // Also of what the profile doesn't know (RFC 9110, 9.2.1).
            OpKind::Read | OpKind::Unknown if no_body && matches!(asked.head.method(), "GET" | "HEAD") => Wants::Read,
            _ => Wants::Other,
        };
        Self { found, profile, matched, wants, target, world: *world }
    }

    fn reasons(&self) -> Vec<Reason> {
        let Addressed { service, site, endpoint } = self.found;
        vec![
            reason::addressed(&service.name, site, &endpoint.authority, &endpoint.prefix),
            reason::matched(&self.profile.name, &self.matched),
        ]
    }

    fn unscoped(&self) -> Plan {
        let mut plan = self.plan(self.found.site.clone(), Route::Direct);
        plan.reasons = self.reasons();
        plan.reasons.push(reason::no_scope());
        plan.reasons.push(reason::route(&Route::Direct, self.found.site));
        plan
    }

    fn scoped(&self, counts: Counts<'_>, outranked: &[ScopeSource]) -> Result<Plan, Problem> {
        let service = &self.found.service;
        if self.found.endpoint.https {
            return Err(tls(service, self.found.site));
        }
        let placed = counts.placed();
        let (mut binding, scope, entry) = self.bound(counts)?;
        let stays = (binding.choice == Choice::Made).then(|| reason::stays(&service.name, &binding.at.sites));
        let goes_on = binding.all && self.goes_on(&mut binding);
        let route = self.route(&binding)?;
        let next_on = self.next_on(&route, &binding);
        let mut reasons = self.reasons();
        reasons.push(reason::source(scope.source, outranked));
        reasons.extend(binding.at.candidates.iter().map(reason::candidate));
        reasons.extend(stays);
        reasons.extend(goes_on.then(|| reason::goes_on(&binding.at.sites)));
        reasons.push(reason::binding(&service.name, &binding));
        reasons.push(reason::route(&route, self.world.here));
        reasons.extend(reason::next_on(&next_on));
        let (candidates, choice, placed) = (binding.at.candidates, binding.choice, placed.to_vec());
        Ok(Plan { scope: Some(scope), choice, placed, next_on, candidates, reasons, ..self.plan(entry, route) })
    }

    /// What the scope says of the service, how the scope is told, and the entry site.
    fn bound(&self, counts: Counts<'_>) -> Result<(Binding, CarriedScope, SiteName), Problem> {
        let service = &self.found.service;
        let workflow = match counts {
            Counts::Own(scope, source) => {
                let entry = self.found.site;
                let is_identity = self.class() == Some("identity");
                let blanket = source.is_blanket();
                let binding =
                    binding::of_request(&scope, service, entry, blanket, is_identity, self.wants, &self.world)?;
                let completed = binding::complete(&scope, &service.name, entry, binding.by);
                let scope = CarriedScope { source, normal: scope.to_string(), completed: completed.to_string() };
                return Ok((binding, scope, entry.clone()));
            }
            Counts::Inherited(workflow) => workflow,
        };
        let (site, entry) = (self.found.site, workflow.entry);
        let placed = workflow.placed.iter().find(|(name, _)| *name == service.name);
        let placed = placed.filter(|(_, site)| service.endpoints.contains_key(site));
        let placed = placed.map(|(_, site)| binding::Placed { site, elsewhere: self.may_be_elsewhere() });
        let unnamed = binding::unnamed(workflow.scope, service, site, self.class(), &self.world);
        let binding = binding::of_workflow(workflow.scope, service, unnamed, entry, self.wants, placed, &self.world)?;
        let scope = CarriedScope {
            source: ScopeSource::Workflow,
            normal: workflow.scope.scope.to_string(),
            completed: workflow.scope.to_string(),
        };
        Ok((binding, scope, workflow.entry.clone()))
    }

    fn class(&self) -> Option<&str> {
        self.profile.class(self.found.service.kind.as_deref())
    }

    /// The request is about one resource, or a part of it, which is at whichever site made it.
    fn may_be_elsewhere(&self) -> bool {
        self.matched.nested || (self.matched.id.is_some() && self.matched.op != OpKind::Create)
    }

    /// Whether a list was begun on a page before, and at which sites.
    fn goes_on(&self, binding: &mut Binding) -> bool {
        let list = self.profile.list(self.matched.kind);
        let marker = query::values(self.target, list.parameter());
        let marker = marker.first().and_then(|text| Marker::read(text).ok());
        marker.is_some_and(|marker| binding.at.go_on_at(marker.sites(), self.found.service))
    }

    fn plan(&self, entry: SiteName, route: Route) -> Plan {
        Plan {
            service: self.found.service.name.clone(),
            kind: self.matched.kind.map(str::to_owned),
            id: self.matched.id.map(str::to_owned),
            op: self.matched.op,
            entry,
            addressed: self.found.site.clone(),
            scope: None,
            authority: self.found.endpoint.authority.clone(),
            prefix: self.found.endpoint.prefix.clone(),
            withheld: self.profile.local_headers().to_vec(),
            own_host: self.found.service.host == HostHeader::Own,
            route,
            choice: Choice::Fixed,
            placed: Vec::new(),
            next_on: NextOn::default(),
            candidates: Vec::new(),
            reasons: Vec::new(),
        }
    }

    /// A single site that is this agent's own, and whose endpoint was addressed, serves over the connection that is
    /// there; every other goes through its site's agent, so that the scope travels with it.
    fn route(&self, binding: &Binding) -> Result<Route, Problem> {
        let mut destinations =
            binding.at.sites.iter().map(|site| self.destination(site)).collect::<Result<Vec<_>, _>>()?;
        Ok(match destinations.as_slice() {
            // Also of one site: the answer has the same form however many are in range.
            _ if binding.all => Route::Gather(destinations),
            [only] if only.own && only.site == *self.found.site => Route::Direct,
            [_] => destinations.pop().map_or(Route::Direct, Route::At),
            _ => Route::FirstOf(destinations),
        })
    }

    fn destination(&self, site: &SiteName) -> Result<Destination, Problem> {
        let service = &self.found.service;
        let endpoints = match service.endpoints.get(site) {
            Some(endpoints) if !endpoints.is_empty() => endpoints,
            _ => {
                let mut problem = Problem::new(Code::NoEndpoint, format!("{} has no endpoint at {site}", service.name));
                let sites: Vec<&str> = service.endpoints.keys().map(SiteName::as_str).collect();
                problem.hint = Some(format!("{} is at: {}.", service.name, sites.join(", ")));
                return Err(problem);
            }
        };
        // The addressed one itself, where it is at this site: aliases of it are not the same to its clients.
        let addressed = endpoints.iter().find(|endpoint| site == self.found.site && *endpoint == self.found.endpoint);
        let endpoint = addressed.or_else(|| endpoints.iter().find(|endpoint| !endpoint.https));
        let endpoint = endpoint.ok_or_else(|| tls(service, site))?;
        Ok(Destination {
            site: site.clone(),
            own: site == self.world.here,
            authority: endpoint.authority.clone(),
            prefix: endpoint.prefix.clone(),
        })
    }

    fn next_on(&self, route: &Route, binding: &Binding) -> NextOn {
        let choice = binding.choice;
        match route {
            Route::FirstOf(_) => NextOn {
                not_found: binding.any || self.may_be_elsewhere(),
                failed: binding.any,
                capacity: match choice {
                    Choice::Made => Vec::new(),
                    Choice::Open | Choice::Fixed => self.profile.capacity(self.matched.kind, self.matched.op),
                },
                stays: choice == Choice::Made,
            },
            _ => NextOn::default(),
        }
    }
}

fn tls(service: &Service, site: &SiteName) -> Problem {
    let detail = format!("{}'s endpoint at {site} is https, and the agent has no certificate for it", service.name);
    Problem::new(Code::TlsEndpoint, detail)
}
