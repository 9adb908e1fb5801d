//! What the grammar alone can't say: nothing bound twice, a prime among what is crossed.

use std::collections::{HashMap, HashSet};

use super::{Expr, Item, MAX_NESTING, Name, Scope, ScopeError, Span};

/// What is known of the names in a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Different ones may mean the same.
    Written,
    /// Each thing has one name.
    Resolved,
}

/// What the grammar alone can't say. `resolve` checks again, when names are known to be the same.
pub(super) fn check(scope: &Scope, names: Names) -> Result<(), ScopeError> {
    let mut bound = HashSet::new();
    let mut addressed = false;
    for item in &scope.items {
        match item {
            Item::Bind { service, .. } if !bound.insert(&service.text) => {
                let message = format!("service \"{}\" is bound twice", service.text);
                return Err(
                    ScopeError::at(service.span, message).suggest("join the sites in one binding, with &, % or ||")
                );
            }
            Item::Bare(_) | Item::Around { .. } if std::mem::replace(&mut addressed, true) => {
                return Err(ScopeError::at(item_span(item), "the addressed service is bound twice")
                    .suggest("say which service each place is for: {Nova: Berlin, Glance: Paris}"));
            }
            _ => {}
        }
    }
    for item in &scope.items {
        if let Item::Bind { expr, .. } | Item::Bare(expr) = item {
            check_sites(expr, 0)?;
        }
    }
    check_primes(scope, names)
}

fn item_span(item: &Item) -> Span {
    match item {
        Item::Bind { service, .. } => service.span,
        Item::Prime { site, .. } | Item::Around { site, .. } => site.span,
        Item::Bare(expr) => expr.span(),
    }
}

/// No site twice under one operator. In the normal form, which has parentheses also where none need be written, these
/// aren't nested too deep to be read again.
fn check_sites(expr: &Expr, depth: usize) -> Result<(), ScopeError> {
    if depth > MAX_NESTING && !expr.parts().is_empty() {
        let message = format!("operators are nested at most {MAX_NESTING} deep");
        return Err(ScopeError::at(expr.span(), message));
    }
    let mut seen = HashSet::new();
    for part in expr.parts() {
        match part {
            Expr::Site(site) if !seen.insert(&site.text) => {
                return Err(ScopeError::at(site.span, format!("site \"{}\" stands here twice", site.text))
                    .suggest("name each site once"));
            }
            part => check_sites(part, depth + 1)?,
        }
    }
    Ok(())
}

/// A `prime` belongs to something crossed, is among its sites, and there is one at most.
fn check_primes(scope: &Scope, names: Names) -> Result<(), ScopeError> {
    let mut bound = HashMap::new();
    let mut crossed = Vec::new();
    let mut primed = HashSet::new();
    for item in &scope.items {
        match item {
            Item::Bind { service, expr } => {
                bound.insert(&service.text, expr);
                crossed.extend(expr.crosses().then_some((Some(&service.text), expr)));
            }
            Item::Bare(expr) => crossed.extend(expr.crosses().then_some((None, expr))),
            Item::Prime { service, site } => {
                if !primed.insert(service.as_ref().map(|service| &service.text)) {
                    return Err(ScopeError::at(site.span, "there is a second prime").suggest("keep one"));
                }
            }
            Item::Around { .. } => {}
        }
    }
    // While names are as they were written, a prime's service may be bound under its type, or in another case.
    let open = names == Names::Written && primed.iter().flatten().any(|service| !bound.contains_key(service));
    for item in &scope.items {
        match item {
            Item::Prime { service: Some(service), site } => match bound.get(&service.text) {
                Some(expr) if expr.crosses() => check_prime(site, expr, names)?,
                None if open && !crossed.is_empty() => {}
                _ => return Err(not_crossed(service)),
            },
            Item::Prime { service: None, site } => {
                let mut of_all =
                    crossed.iter().filter(|(service, _)| service.is_none() || !primed.contains(service)).peekable();
                if of_all.peek().is_none() {
                    return Err(not_crossed(site));
                }
                if !open {
                    of_all.try_for_each(|(_, expr)| check_prime(site, expr, names))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn not_crossed(at: &Name) -> ScopeError {
    ScopeError::at(at.span, "a prime is the first among crossed sites, and nothing here is crossed")
        .suggest("cross sites with %: {apps: Berlin % Paris, prime: Berlin}")
}

fn check_prime(prime: &Name, expr: &Expr, names: Names) -> Result<(), ScopeError> {
    let mut sites = Crossed::default();
    sites.add(expr, false);
    let is_prime = |site: &&str| match names {
        Names::Written => site.to_lowercase() == prime.text.to_lowercase(),
        Names::Resolved => *site == prime.text,
    };
    if sites.open || sites.names.iter().any(is_prime) {
        return Ok(());
    }
    let message = format!("prime \"{}\" is not among the crossed sites", prime.text);
    Err(ScopeError::at(prime.span, message).suggest(format!("use {}", sites.names.join(" or "))))
}

/// The sites that an expression crosses.
#[derive(Default)]
struct Crossed<'a> {
    names: Vec<&'a str>,
    /// Whether `*` or `around` stand for more.
    open: bool,
}

impl<'a> Crossed<'a> {
    fn add(&mut self, expr: &'a Expr, inside: bool) {
        match expr {
            Expr::Site(site) if inside => self.names.push(&site.text),
            Expr::All(_) | Expr::Around { .. } if inside => self.open = true,
            Expr::Cross(parts) => parts.iter().for_each(|part| self.add(part, true)),
            expr => expr.parts().iter().for_each(|part| self.add(part, inside)),
        }
    }
}
