//! What a scope says about one service at one entry site.

use std::borrow::Cow;

use super::decide::World;
use super::model::Choice;
use super::nearby::{Sites, Wants};
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
    /// Under `exec` it stays where it is asked, because it issues and checks credentials.
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
        let at = Sites::of(expr, service, entry, wants, world)?;
        Ok(Self { by, at, all: unites(expr, wants), choice: choice(expr) })
    }

    fn stays(by: By, site: &SiteName) -> Self {
        Self { by, at: Sites::one(site), all: false, choice: Choice::Fixed }
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

/// The binding of the addressed service by a request's or an `exec` session's scope, resolved.
pub(super) fn of_request(
    scope: &Scope,
    service: &Service,
    entry: &SiteName,
    in_session: bool,
    is_identity: bool,
    wants: Wants,
    world: &World<'_>,
) -> Result<Binding, Problem> {
    let name = &service.name;
    let named = named(scope, name);
    let bare = scope.items.iter().find_map(bare);
    // A request for which the scope says nothing, such as one for a token, does nothing that another place could undo.
    let speaks = named.is_some() || bare.is_some();
    if wants != Wants::List && (speaks || !in_session) {
        scope.items.iter().try_for_each(built)?;
    } else if let Some(expr) = named.or(bare.as_deref()) {
        unbuilt(expr, wants == Wants::List).map_or(Ok(()), Err)?;
    }
    let stays = |by| Ok(Binding::stays(by, entry));
    match (named, bare) {
        (Some(_), Some(bare)) if !in_session => {
            let message = format!("{name}, which the request addresses, is bound twice: by its name and without one");
            Err(ScopeError::at(bare.span(), message).suggest("say which service this place is for").problem())
        }
        (Some(expr), _) => Binding::to(By::Name, expr, service, entry, wants, world),
        (None, Some(_)) if in_session && is_identity => stays(By::Identity),
        (None, Some(expr)) => Binding::to(By::Bare, &expr, service, entry, wants, world),
        (None, None) => stays(By::Default),
    }
}

/// The binding of a service that is called within a workflow; `addressed` is the site of the called endpoint, `entry`
/// the workflow's. `around` and `*` are looked at with the first call that needs them; `placed` is where that was served.
pub(super) fn of_workflow(
    completed: &Completed,
    service: &Service,
    addressed: &SiteName,
    entry: &SiteName,
    wants: Wants,
    placed: Option<Placed<'_>>,
    world: &World<'_>,
) -> Result<Binding, Problem> {
    if let Some(expr) = named(&completed.scope, &service.name) {
        unbuilt(expr, wants == Wants::List).map_or(Ok(()), Err)?;
        let bound = Binding::to(By::Name, expr, service, entry, wants, world);
        let Some(placed) = placed.filter(|_| choice(expr) == Choice::Open) else { return bound };
        // Also where none would be in range any more.
        let mut at = bound.map(|bound| bound.at).unwrap_or_default();
        at.sites.retain(|site| placed.elsewhere && site != placed.site);
        at.sites.insert(0, placed.site.clone());
        return Ok(Binding { by: By::Name, at, all: unites(expr, wants), choice: Choice::Made });
    }
    Ok(match &completed.default {
        Some(site) => Binding::stays(By::Default, site),
        None => Binding::stays(By::OwnSite, addressed),
    })
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
        Item::Bind { expr, .. } | Item::Bare(expr) => unbuilt(expr, false).map_or(Ok(()), Err),
        Item::Around { .. } | Item::Prime { .. } => Ok(()),
    }
}

/// The collaboration in an expression that this version can't do. The whole scope is refused, also for a service that
/// the request may never reach: half a workflow is worse than none.
/// Lists of several sites are united.
fn unbuilt(expr: &Expr, lists: bool) -> Option<Problem> {
    let (sign, meaning) = match expr {
        Expr::Site(_) | Expr::Around { .. } | Expr::All(_) => return None,
        Expr::Otherwise(parts) => return parts.iter().find_map(|part| unbuilt(part, false)),
        Expr::Replicate(parts) if lists && parts.iter().all(|part| part.parts().is_empty()) => return None,
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
