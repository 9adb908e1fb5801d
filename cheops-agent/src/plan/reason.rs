//! The steps of a decision in words.

use crate::names::{ServiceName, SiteName};
use crate::profile::Matched;

use super::binding::{Binding, By};
use super::model::{NextOn, Reason, Route, ScopeSource};
use super::nearby::{Candidate, Verdict};

fn reason(code: &'static str, text: impl Into<String>) -> Reason {
    Reason { code, text: text.into() }
}

pub(super) fn addressed(service: &ServiceName, site: &SiteName, authority: &str, prefix: &str) -> Reason {
    reason("addressed", format!("{authority}{prefix} is {service}'s endpoint at {site}"))
}

pub(super) fn matched(profile: &str, matched: &Matched<'_>) -> Reason {
    match (matched.kind, matched.id) {
        (None, _) => reason("no-kind", format!("profile {profile} knows no resource by this path")),
        (Some(kind), None) => reason("kind", format!("by profile {profile} the path is of kind {kind}")),
        (Some(kind), Some(id)) => reason("kind", format!("by profile {profile} the path is {kind} {id}")),
    }
}

pub(super) fn no_scope() -> Reason {
    reason("no-scope", "the request has no scope: its own site serves it")
}

pub(super) fn source(source: ScopeSource, outranked: &[ScopeSource]) -> Reason {
    let mut text = format!("the scope comes from {}", place(source));
    for other in outranked {
        text += &format!(", which outranks {}", place(*other));
    }
    reason("scope", text)
}

fn place(source: ScopeSource) -> &'static str {
    match source {
        ScopeSource::Header => "the request's header",
        ScopeSource::Parameter => "the request's query",
        ScopeSource::Basic => "the login cheops-scope",
        ScopeSource::Token => "behind the request's token",
        ScopeSource::Workflow => "the request that caused this one",
        ScopeSource::Session => "cheops exec",
    }
}

pub(super) fn candidate(candidate: &Candidate) -> Reason {
    let code = match candidate.verdict {
        Verdict::In if candidate.within.is_some() => "in-range",
        Verdict::In => "known-site",
        Verdict::Last => "down-tried-last",
        Verdict::OutOfRange => "out-of-range",
        Verdict::DistanceUnknown => "distance-unknown",
        Verdict::Down => "down",
        Verdict::NoEndpoint => "no-endpoint",
        Verdict::Cordoned => "cordoned",
        Verdict::Drained => "drained",
    };
    reason(code, candidate.told())
}

pub(super) fn stays(service: &ServiceName, sites: &[SiteName]) -> Reason {
    let site = sites.first().map(SiteName::as_str).unwrap_or_default();
    let text = format!("an earlier call of the workflow to {service} was served at {site}: this one goes there too");
    reason("placed", text)
}

pub(super) fn goes_on(sites: &[SiteName]) -> Reason {
    reason("list-goes-on", format!("the list was begun at {}, and goes on there", joined(sites, ", ")))
}

pub(super) fn binding(service: &ServiceName, binding: &Binding) -> Reason {
    let sites = joined(&binding.at.sites, if binding.all { " and " } else { ", else " });
    match binding.by {
        By::Name => reason("bound", format!("the scope binds {service} to {sites}")),
        By::Bare => reason(
            "bound-as-addressed",
            format!("the scope names no service, so it binds the addressed one to {sites}"),
        ),
        By::Default => {
            reason("not-named", format!("the scope doesn't name {service}: the entry site {sites} serves it"))
        }
        By::OwnSite => reason(
            "own-site",
            format!(
                "the scope was for the service that its request addressed; {service} is served where it is called, at {sites}"
            ),
        ),
        By::Internal => reason(
            "calling-site",
            format!(
                "the scope doesn't name {service}, whose data belong to the service that calls it: it is at {sites}"
            ),
        ),
        By::Identity => {
            let why = "checks credentials: a scope that all requests of a client carry leaves it";
            reason("identity-stays", format!("{service} {why} at {sites}"))
        }
    }
}

pub(super) fn route(route: &Route, here: &SiteName) -> Reason {
    match route {
        Route::Direct => reason("direct", format!("the addressed endpoint at {here} serves it")),
        Route::At(to) if to.own => reason("here", format!("{here}, this agent's own site, serves it")),
        Route::At(to) => reason("forwarded", format!("it goes to {}'s agent", to.site)),
        Route::Gather(several) => {
            let sites: Vec<SiteName> = several.iter().map(|to| to.site.clone()).collect();
            match sites.as_slice() {
                [one] => reason("gather", format!("the list of {one} is the only one to be united")),
                sites => reason("gather", format!("the lists of {} are united", joined(sites, ", "))),
            }
        }
        Route::FirstOf(several) => {
            let sites: Vec<SiteName> = several.iter().map(|to| to.site.clone()).collect();
            reason(
                "first-of",
                format!(
                    "{} are tried in this order, each only if nothing happened at the one before",
                    joined(&sites, ", ")
                ),
            )
        }
    }
}

pub(super) fn next_on(next_on: &NextOn) -> Option<Reason> {
    let mut statuses: Vec<String> = next_on.capacity.iter().map(|error| error.status.to_string()).collect();
    if next_on.not_found {
        statuses.insert(0, "404 (it may be at another site)".to_owned());
    }
    if next_on.failed {
        statuses.push("5xx (the request changes nothing)".to_owned());
    }
    let besides = if next_on.stays { "only" } else { "besides a site that can't be reached," };
    let text = || format!("{besides} these answers let the next be tried: {}", statuses.join(", "));
    (!statuses.is_empty()).then(|| reason("next-on", text()))
}

fn joined(sites: &[SiteName], by: &str) -> String {
    sites.iter().map(SiteName::as_str).collect::<Vec<_>>().join(by)
}
