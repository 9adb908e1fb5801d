//! Names against what is known: exactly, else without case when that is unambiguous.

use crate::http::Code;
use crate::metadata::Snapshot;
use crate::names::nearest;

use super::check::{Names, check};
use super::{Expr, Item, Name, Scope, ScopeError};

/// The scope with every name as the site or service is called; services may be written by their type.
///
/// # Errors
/// The first of [`resolve_all`]'s.
pub fn resolve(scope: &Scope, known: &Snapshot) -> Result<Scope, ScopeError> {
    resolve_all(scope, known).map_err(|faults| faults.first)
}

/// What is wrong with the names of a scope, in the order of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    pub first: ScopeError,
    pub further: Vec<ScopeError>,
}

impl Faults {
    /// Every fault.
    pub fn iter(&self) -> impl Iterator<Item = &ScopeError> {
        std::iter::once(&self.first).chain(&self.further)
    }
}

/// [`resolve`], with every fault.
///
/// # Errors
/// Unknown or ambiguous names, each with its place and the nearest known one; else two names that turn out to be the same.
pub fn resolve_all(scope: &Scope, known: &Snapshot) -> Result<Scope, Faults> {
    let mut resolver = Resolver { known, faults: Vec::new() };
    let items = scope.items.iter().map(|item| resolver.item(item)).collect();
    let mut faults = resolver.faults.into_iter();
    if let Some(first) = faults.next() {
        return Err(Faults { first, further: faults.collect() });
    }
    let scope = Scope { items };
    check(&scope, Names::Resolved).map_err(|first| Faults { first, further: Vec::new() })?;
    Ok(scope)
}

/// Names that can't be resolved stay as they are, and become faults.
struct Resolver<'a> {
    known: &'a Snapshot,
    faults: Vec<ScopeError>,
}

impl Resolver<'_> {
    fn item(&mut self, item: &Item) -> Item {
        match item {
            Item::Bind { service, expr } => Item::Bind { service: self.service(service), expr: self.expr(expr) },
            Item::Prime { service, site } => {
                Item::Prime { service: service.as_ref().map(|service| self.service(service)), site: self.site(site) }
            }
            Item::Around { site, within } => Item::Around { site: self.site(site), within: *within },
            Item::Bare(expr) => Item::Bare(self.expr(expr)),
        }
    }

    fn expr(&mut self, expr: &Expr) -> Expr {
        match expr {
            Expr::Site(site) => Expr::Site(self.site(site)),
            Expr::Around { site, within } => Expr::Around { site: self.site(site), within: *within },
            Expr::All(star) => Expr::All(*star),
            Expr::Replicate(parts) => Expr::Replicate(parts.iter().map(|part| self.expr(part)).collect()),
            Expr::Cross(parts) => Expr::Cross(parts.iter().map(|part| self.expr(part)).collect()),
            Expr::Otherwise(parts) => Expr::Otherwise(parts.iter().map(|part| self.expr(part)).collect()),
        }
    }

    fn site(&mut self, name: &Name) -> Name {
        self.or_fault(name, site_name(name, self.known))
    }

    fn service(&mut self, name: &Name) -> Name {
        self.or_fault(name, service_name(name, self.known))
    }

    fn or_fault(&mut self, name: &Name, found: Result<Name, ScopeError>) -> Name {
        found.unwrap_or_else(|fault| {
            self.faults.push(fault);
            name.clone()
        })
    }
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
