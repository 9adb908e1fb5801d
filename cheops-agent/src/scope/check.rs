//! What the grammar alone can't say: nothing bound twice, a prime among what is crossed.

use std::collections::HashSet;

use super::{Expr, Item, Scope, ScopeError, Span};

/// What the grammar alone can't say. `resolve` checks again, when names are known to be the same.
pub(super) fn check(scope: &Scope) -> Result<(), ScopeError> {
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
            check_sites(expr)?;
        }
    }
    check_primes(scope)
}

fn item_span(item: &Item) -> Span {
    match item {
        Item::Bind { service, .. } => service.span,
        Item::Prime { site, .. } | Item::Around { site, .. } => site.span,
        Item::Bare(expr) => expr.span(),
    }
}

/// No site twice under one operator.
fn check_sites(expr: &Expr) -> Result<(), ScopeError> {
    let mut seen = HashSet::new();
    for part in expr.parts() {
        match part {
            Expr::Site(site) if !seen.insert(&site.text) => {
                return Err(ScopeError::at(site.span, format!("site \"{}\" stands here twice", site.text))
                    .suggest("name each site once"));
            }
            part => check_sites(part)?,
        }
    }
    Ok(())
}

/// A `prime` belongs to something crossed, is among its sites, and there is one at most.
fn check_primes(scope: &Scope) -> Result<(), ScopeError> {
    let mut seen = HashSet::new();
    for item in &scope.items {
        let Item::Prime { service, site } = item else { continue };
        let of = service.as_ref().map(|service| service.text.as_str());
        if !seen.insert(of) {
            return Err(ScopeError::at(site.span, "there is a second prime").suggest("keep one"));
        }
        let crossed: Vec<&Expr> = scope.items.iter().filter_map(|item| crossed_by(item, of, scope)).collect();
        if crossed.is_empty() {
            let at = service.as_ref().map_or(site.span, |service| service.span);
            return Err(ScopeError::at(at, "a prime is the first among crossed sites, and nothing here is crossed")
                .suggest("cross sites with %: {apps: Berlin % Paris, prime: Berlin}"));
        }
        for expr in crossed {
            let mut sites = Crossed::default();
            sites.add(expr, false);
            if !sites.open && !sites.names.iter().any(|name| name.eq_ignore_ascii_case(&site.text)) {
                let message = format!("prime \"{}\" is not among the crossed sites", site.text);
                return Err(ScopeError::at(site.span, message).suggest(format!("use {}", sites.names.join(" or "))));
            }
        }
    }
    Ok(())
}

/// The item's expression, if it crosses sites and a `prime` for `of` speaks of it.
fn crossed_by<'a>(item: &'a Item, of: Option<&str>, scope: &Scope) -> Option<&'a Expr> {
    let expr = match item {
        Item::Bind { service, expr } => {
            let own = |item: &Item| matches!(item, Item::Prime { service: Some(named), .. } if named == service);
            match of {
                Some(of) if of != service.text => return None,
                None if scope.items.iter().any(own) => return None,
                _ => expr,
            }
        }
        Item::Bare(expr) if of.is_none() => expr,
        _ => return None,
    };
    expr.crosses().then_some(expr)
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
