//! What a scope says about one service at one entry site.

use std::borrow::Cow;

use super::model::Choice;
use super::nearby::{Sites, Wants};
use super::world::World;
use crate::http::{Code, Problem};
use crate::metadata::Service;
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
    /// What it keeps belongs to the service that calls it, whose site serves it.
    Internal,
    /// It stays where it is asked, because it issues and checks credentials, and the scope wasn't said of it.
    Identity,
}

/// Where a service is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) by: By,
    /// Never none.
    pub(super) at: Sites,
    /// All of them serve the request together; else the first that can.
    pub(super) all: bool,
    /// Any of them may have the answer, and none is changed by the request.
    pub(super) any: bool,
    pub(super) choice: Choice,
}

impl Binding {
    fn to(
        by: By,
        expr: &Expr,
        service: &Service,
        entry: &SiteName,
        wants: Wants,
        world: &World<'_>,
    ) -> Result<Self, Problem> {
        let mut at = Sites::of(expr, service, entry, wants, world)?;
        let copies = wants == Wants::Read && matches!(expr, Expr::Replicate(_));
        let any = copies || wants == Wants::Describe;
        if any {
            at.own_first(copies, world);
        }
        if wants == Wants::Describe {
            // Clients say nothing of use when they can't find out about an API: the request that follows shall tell why.
            at.own_last(service, world);
        }
        // What the API is doesn't decide where its resources are.
        let choice = if wants == Wants::Describe { Choice::Fixed } else { choice(expr) };
        Ok(Self { by, at, all: unites(expr, wants), any, choice })
    }

    fn stays(by: By, site: &SiteName) -> Self {
        Self { by, at: Sites::one(site), all: false, any: false, choice: Choice::Fixed }
    }
}

/// Whether lists of all sites of the expression are united.
fn unites(expr: &Expr, wants: Wants) -> bool {
    wants == Wants::List && matches!(expr, Expr::Replicate(_) | Expr::All(_) | Expr::Around { .. })
}

fn choice(expr: &Expr) -> Choice {
    match expr {
        Expr::Otherwise(_) | Expr::All(_) | Expr::Around { .. } => Choice::Open,
        Expr::Site(_) | Expr::Replicate(_) | Expr::Cross(_) => Choice::Fixed,
    }
}

/// Where an earlier call of the workflow was served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    pub(super) site: &'a SiteName,
    /// What the request is about may be at another site all the same: these are asked after it.
    pub(super) elsewhere: bool,
}

/// The binding of the addressed service by a request's or an `exec` session's scope, resolved. `blanket`: all requests of
/// the client carry it alike.
pub(super) fn of_request(
    scope: &Scope,
    service: &Service,
    entry: &SiteName,
    blanket: bool,
    is_identity: bool,
    wants: Wants,
    world: &World<'_>,
) -> Result<Binding, Problem> {
    let name = &service.name;
    let named = named(scope, name);
    let bare = scope.items.iter().find_map(bare);
    // A request for which the scope says nothing, such as one for a token, does nothing that another place could undo.
    let speaks = named.is_some() || bare.is_some();
    if let Some(expr) = named.or(bare.as_deref()) {
        unbuilt(expr, wants).map_or(Ok(()), Err)?;
    }
    if !matches!(wants, Wants::List | Wants::Describe) && (speaks || !blanket) {
        scope.items.iter().try_for_each(built)?;
    }
    let stays = |by| Ok(Binding::stays(by, entry));
    match (named, bare) {
        (Some(_), Some(bare)) if !blanket => {
            let message = format!("{name}, which the request addresses, is bound twice: by its name and without one");
            Err(ScopeError::at(bare.span(), message).suggest("say which service this place is for").problem())
        }
        (Some(expr), _) => Binding::to(By::Name, expr, service, entry, wants, world),
        (None, Some(_)) if blanket && is_identity => stays(By::Identity),
        (None, Some(expr)) => Binding::to(By::Bare, &expr, service, entry, wants, world),
        (None, None) => stays(By::Default),
    }
}

/// Where a service is served that the workflow's scope doesn't name; `addressed` is the site of the called endpoint, which
/// may stand in the catalog that came with the token of another site's user.
pub(super) fn unnamed<'a>(
    completed: &'a Completed,
    service: &Service,
    addressed: &'a SiteName,
    class: Option<&str>,
    world: &World<'a>,
) -> (By, &'a SiteName) {
    let calling = if service.endpoints.contains_key(world.here) { world.here } else { addressed };
    match (&completed.default, class) {
        (_, Some("internal")) => (By::Internal, calling),
        (Some(site), _) => (By::Default, site),
        // A credential is checked by whoever was asked for it.
        (None, Some("identity")) => (By::OwnSite, addressed),
        (None, _) => (By::OwnSite, calling),
    }
}

/// The binding of a service that is called within a workflow; `unnamed` counts if its scope doesn't name it, `entry` is
/// the workflow's. `around` and `*` are looked at with the first call that needs them; `placed` is where that was served.
pub(super) fn of_workflow(
    completed: &Completed,
    service: &Service,
    unnamed: (By, &SiteName),
    entry: &SiteName,
    wants: Wants,
    placed: Option<Placed<'_>>,
    world: &World<'_>,
) -> Result<Binding, Problem> {
    if let Some(expr) = named(&completed.scope, &service.name) {
        unbuilt(expr, wants).map_or(Ok(()), Err)?;
        let bound = Binding::to(By::Name, expr, service, entry, wants, world);
        let Some(placed) = placed.filter(|_| choice(expr) == Choice::Open) else { return bound };
        // Also where none would be in range any more.
        let mut at = bound.map(|bound| bound.at).unwrap_or_default();
        at.sites.retain(|site| placed.elsewhere && site != placed.site);
        at.sites.insert(0, placed.site.clone());
        return Ok(Binding { by: By::Name, at, all: unites(expr, wants), any: false, choice: Choice::Made });
    }
    Ok(Binding::stays(unnamed.0, unnamed.1))
}

/// Where an item that names no service says that the addressed one is served.
fn bare(item: &Item) -> Option<Cow<'_, Expr>> {
    match item {
        Item::Bare(expr) => Some(Cow::Borrowed(expr)),
        Item::Around { site, within } => Some(Cow::Owned(Expr::Around { site: site.clone(), within: *within })),
        Item::Bind { .. } | Item::Prime { .. } => None,
    }
}

/// The scope as it travels with the workflow: every binding has its service's name.
pub(super) fn complete(scope: &Scope, service: &ServiceName, entry: &SiteName, by: By) -> Completed {
    let mut default = Some(entry.clone());
    let mut items = Vec::with_capacity(scope.items.len());
    for item in &scope.items {
        match bare(item) {
            Some(expr) => {
                default = None;
                if by == By::Bare {
                    let service = Name { text: service.as_str().to_owned(), span: Span::default() };
                    items.push(Item::Bind { service, expr: expr.into_owned() });
                }
            }
            None => items.push(item.clone()),
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

fn built(item: &Item) -> Result<(), Problem> {
    match item {
        // The request may well do no more than read of the services below.
        Item::Bind { expr, .. } | Item::Bare(expr) => unbuilt(expr, Wants::Read).map_or(Ok(()), Err),
        Item::Around { .. } | Item::Prime { .. } => Ok(()),
    }
}

/// The collaboration in an expression that this version can't do. The whole scope is refused, also for a service that
/// the request may never reach: half a workflow is worse than none.
/// Lists of several sites are united, and what is read may be at any of them.
fn unbuilt(expr: &Expr, wants: Wants) -> Option<Problem> {
    let reads = matches!(wants, Wants::List | Wants::Read);
    let (sign, meaning) = match expr {
        _ if wants == Wants::Describe => return None,
        Expr::Site(_) | Expr::Around { .. } | Expr::All(_) => return None,
        Expr::Otherwise(parts) => return parts.iter().find_map(|part| unbuilt(part, Wants::Other)),
        Expr::Replicate(parts) if reads && parts.iter().all(|part| part.parts().is_empty()) => return None,
        Expr::Replicate(_) => ("&", "replication"),
        Expr::Cross(_) => ("%", "cross"),
    };
    Some(not_built(sign, meaning, expr.span()))
}

fn not_built(sign: &str, meaning: &str, span: Span) -> Problem {
    let mut problem =
        Problem::new(Code::NotBuilt, format!("{sign} ({meaning}) is not available yet; nothing was done"));
    problem.hint = Some(format!("Instead of {sign}, name a single site, several joined by ||, or around(Site, 50ms)."));
    problem.position = Some((span.start, span.end.saturating_sub(span.start)));
    problem
}
