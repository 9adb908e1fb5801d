//! Names against what is known: exactly, else without case when that is unambiguous.

use crate::http::Code;
use crate::metadata::Snapshot;
use crate::names::nearest;

use super::check::{Names, check};
use super::{Expr, Item, Name, Scope, ScopeError};

/// The scope with every name as the site or service is called; services may be written by their type.
///
/// # Errors
/// An unknown or ambiguous name, with its place and the nearest known one; or two names that turn out to be the same.
pub fn resolve(scope: &Scope, known: &Snapshot) -> Result<Scope, ScopeError> {
    let items = scope.items.iter().map(|item| resolve_item(item, known)).collect::<Result<_, _>>()?;
    let scope = Scope { items };
    check(&scope, Names::Resolved)?;
    Ok(scope)
}

fn resolve_item(item: &Item, known: &Snapshot) -> Result<Item, ScopeError> {
    Ok(match item {
        Item::Bind { service, expr } => {
            Item::Bind { service: service_name(service, known)?, expr: places(expr, known)? }
        }
        Item::Prime { service, site } => {
            let service = service.as_ref().map(|service| service_name(service, known)).transpose()?;
            Item::Prime { service, site: site_name(site, known)? }
        }
        Item::Around { site, within } => Item::Around { site: site_name(site, known)?, within: *within },
        Item::Bare(expr) => Item::Bare(places(expr, known)?),
    })
}

fn places(expr: &Expr, known: &Snapshot) -> Result<Expr, ScopeError> {
    let all = |parts: &[Expr]| parts.iter().map(|part| places(part, known)).collect::<Result<Vec<_>, _>>();
    Ok(match expr {
        Expr::Site(site) => Expr::Site(site_name(site, known)?),
        Expr::Around { site, within } => Expr::Around { site: site_name(site, known)?, within: *within },
        Expr::All(star) => Expr::All(*star),
        Expr::Replicate(parts) => Expr::Replicate(all(parts)?),
        Expr::Cross(parts) => Expr::Cross(all(parts)?),
        Expr::Otherwise(parts) => Expr::Otherwise(all(parts)?),
    })
}

fn site_name(name: &Name, known: &Snapshot) -> Result<Name, ScopeError> {
    if known.sites.contains_key(name.text.as_str()) {
        return Ok(name.clone());
    }
    let all = || known.sites.keys().map(|site| site.as_str());
    without_case(name, "site", Code::UnknownSite, all().map(|site| (site, site)))?
        .ok_or_else(|| unknown(name, "site", Code::UnknownSite, all(), all()))
}

fn service_name(name: &Name, known: &Snapshot) -> Result<Name, ScopeError> {
    if known.service(&name.text).is_some() {
        return Ok(name.clone());
    }
    let kinds = || known.services.iter().filter_map(|service| Some((service.kind.as_deref()?, service.name.as_str())));
    let names = || known.services.iter().map(|service| (service.name.as_str(), service.name.as_str()));
    let by_kind = kinds().filter(|(kind, _)| *kind == name.text);
    if let Some(found) = without_case(name, "service", Code::UnknownService, by_kind)? {
        return Ok(found);
    }
    without_case(name, "service", Code::UnknownService, names().chain(kinds()))?.ok_or_else(|| {
        let written = names().chain(kinds()).map(|(written, _)| written);
        unknown(name, "service", Code::UnknownService, names().map(|(_, name)| name), written)
    })
}

/// The only one that is written like `name` but for case; pairs are (as written, its name).
fn without_case<'a>(
    name: &Name,
    what: &str,
    code: Code,
    candidates: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Option<Name>, ScopeError> {
    let wanted = name.text.to_lowercase();
    let mut same: Vec<&str> =
        candidates.filter(|(written, _)| written.to_lowercase() == wanted).map(|(_, name)| name).collect();
    same.sort_unstable();
    same.dedup();
    match same.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(Name { text: (*only).to_owned(), span: name.span })),
        several => {
            let names: Vec<String> = several.iter().map(|name| format!("\"{name}\"")).collect();
            let message = format!("{what} \"{}\" is ambiguous", name.text);
            Err(ScopeError::at(name.span, message).code(code).suggest(format!("write {}", names.join(" or "))))
        }
    }
}

/// `names` are what is listed, `written` all that may be meant.
fn unknown<'a>(
    name: &Name,
    what: &str,
    code: Code,
    names: impl Iterator<Item = &'a str>,
    written: impl Iterator<Item = &'a str>,
) -> ScopeError {
    let error = ScopeError::at(name.span, format!("unknown {what} \"{}\"", name.text)).code(code);
    if let Some(near) = nearest(&name.text, written) {
        return error.suggest(format!("did you mean \"{near}\"?"));
    }
    let names: Vec<&str> = names.collect();
    match names.len() {
        0 => error.suggest(format!("no {what} is known here")),
        1..=8 => error.suggest(format!("known {what}s: {}", names.join(", "))),
        n => error.suggest(format!("{n} {what}s are known: cheops {what}s")),
    }
}
