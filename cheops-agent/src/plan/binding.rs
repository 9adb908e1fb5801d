//! What a scope says about one service at one entry site.

use crate::http::{Code, Problem};
use crate::names::{ServiceName, SiteName};
use crate::scope::{Completed, Expr, Item, Name, Scope, ScopeError, Span};

/// How a service came to be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The scope names it.
    Name,
    /// It is what the request addresses, and the scope names no service.
    Bare,
    /// The scope doesn't name it: the entry site serves it.
    Default,
    /// The scope bound only what its request addressed: each service below is served by its own site.
    OwnSite,
    /// Under `exec` it stays where it is asked, because it issues and checks credentials.
    Identity,
}

/// Where a service is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) by: By,
    /// In the order in which they are tried; never empty.
    pub(super) sites: Vec<SiteName>,
}

/// The binding of the addressed service by a request's or an `exec` session's scope, resolved.
pub(super) fn of_request(
    scope: &Scope,
    service: &ServiceName,
    entry: &SiteName,
    in_session: bool,
    is_identity: bool,
) -> Result<Binding, Problem> {
    for item in &scope.items {
        built(item)?;
    }
    let named = named(scope, service);
    let bare = scope.items.iter().find_map(|item| if let Item::Bare(expr) = item { Some(expr) } else { None });
    match (named, bare) {
        (Some(_), Some(bare)) if !in_session => {
            let message =
                format!("{service}, which the request addresses, is bound twice: by its name and without one");
            Err(ScopeError::at(bare.span(), message).suggest("say which service this place is for").problem())
        }
        (Some(expr), _) => Ok(Binding { by: By::Name, sites: sites(expr) }),
        (None, Some(_)) if in_session && is_identity => Ok(Binding { by: By::Identity, sites: vec![entry.clone()] }),
        (None, Some(expr)) => Ok(Binding { by: By::Bare, sites: sites(expr) }),
        (None, None) => Ok(Binding { by: By::Default, sites: vec![entry.clone()] }),
    }
}

/// The binding of a service that is called within a workflow; `addressed` is the site of the called endpoint.
pub(super) fn of_workflow(
    completed: &Completed,
    service: &ServiceName,
    addressed: &SiteName,
) -> Result<Binding, Problem> {
    if let Some(expr) = named(&completed.scope, service) {
        unbuilt(expr).map_or(Ok(()), Err)?;
        return Ok(Binding { by: By::Name, sites: sites(expr) });
    }
    Ok(match &completed.default {
        Some(site) => Binding { by: By::Default, sites: vec![site.clone()] },
        None => Binding { by: By::OwnSite, sites: vec![addressed.clone()] },
    })
}

/// The scope as it travels with the workflow: every binding has its service's name.
pub(super) fn complete(scope: &Scope, service: &ServiceName, entry: &SiteName, by: By) -> Completed {
    let mut default = Some(entry.clone());
    let mut items = Vec::with_capacity(scope.items.len());
    for item in &scope.items {
        match item {
            Item::Bare(expr) => {
                default = None;
                if by == By::Bare {
                    let service = Name { text: service.as_str().to_owned(), span: Span::default() };
                    items.push(Item::Bind { service, expr: expr.clone() });
                }
            }
            item => items.push(item.clone()),
        }
    }
    Completed { scope: Scope { items }, default }
}

fn named<'a>(scope: &'a Scope, wanted: &ServiceName) -> Option<&'a Expr> {
    scope.items.iter().find_map(|item| match item {
        Item::Bind { service, expr } if service.text == wanted.as_str() => Some(expr),
        _ => None,
    })
}

/// The sites of an expression that [`built`] let pass.
fn sites(expr: &Expr) -> Vec<SiteName> {
    match expr {
        Expr::Site(name) => vec![SiteName::from(name.text.as_str())],
        expr => expr.parts().iter().flat_map(sites).collect(),
    }
}

fn built(item: &Item) -> Result<(), Problem> {
    match item {
        Item::Bind { expr, .. } | Item::Bare(expr) => unbuilt(expr).map_or(Ok(()), Err),
        Item::Around { site, .. } => Err(not_built("around", "sites within a distance", site.span)),
        Item::Prime { .. } => Ok(()),
    }
}

/// The collaboration in an expression that this version can't do. The whole scope is refused, also for a service that
/// the request may never reach: half a workflow is worse than none.
fn unbuilt(expr: &Expr) -> Option<Problem> {
    let (sign, meaning) = match expr {
        Expr::Site(_) => return None,
        Expr::Otherwise(parts) => return parts.iter().find_map(unbuilt),
        Expr::Replicate(_) => ("&", "replication"),
        Expr::Cross(_) => ("%", "cross"),
        Expr::Around { .. } => ("around", "sites within a distance"),
        Expr::All(_) => ("*", "every site"),
    };
    Some(not_built(sign, meaning, expr.span()))
}

fn not_built(sign: &str, meaning: &str, span: Span) -> Problem {
    let mut problem =
        Problem::new(Code::NotBuilt, format!("{sign} ({meaning}) is not available yet; nothing was done"));
    problem.hint = Some(format!("Instead of {sign}, name a single site, or several joined by ||."));
    problem.position = Some((span.start, span.end.saturating_sub(span.start)));
    problem
}
