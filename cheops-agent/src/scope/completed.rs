//! The completed scope: what a request's scope comes to once it is known which service it addressed and at which site
//! it was asked. It travels with the workflow (AMENDMENTS 17) and binds the calls that the services make below.

use std::fmt;

use crate::names::SiteName;

use super::check::{Names, check};
use super::{Item, Scope, ScopeError, Span, json, printer};

/// A scope whose every binding names its service, and where all other services are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// Holds no [`Item::Bare`] and no [`Item::Around`].
    pub scope: Scope,
    /// Where a service is served that the scope doesn't name: the entry site. None: each at the site that calls it,
    /// because the request bound only the service that it addressed.
    pub default: Option<SiteName>,
}

impl Completed {
    /// Reads the form that [`Display`](fmt::Display) writes: the JSON form, with `default` as its last member.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let end = Span { start: text.len(), end: text.len() };
        let mut members =
            json::members(text)?.ok_or_else(|| ScopeError::at(end, "a completed scope is a JSON object"))?;
        let last = members.pop().filter(|member| member.key.text == "default");
        let last = last.ok_or_else(|| ScopeError::at(end, "a completed scope ends with its default"))?;
        let items = if members.is_empty() { Vec::new() } else { json::scope(&members)?.items };
        let scope = Scope { items };
        check(&scope, Names::Resolved)?;
        if scope.items.iter().any(|item| matches!(item, Item::Bare(_) | Item::Around { .. })) {
            return Err(ScopeError::at(end, "a completed scope names each of its services"));
        }
        Ok(Self { scope, default: last.value.map(|site| SiteName::from(site.text)) })
    }
}

impl fmt::Display for Completed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.scope.to_json();
        let members = object.strip_suffix('}').unwrap_or(&object);
        let comma = if self.scope.items.is_empty() { "" } else { "," };
        match &self.default {
            Some(site) => write!(f, "{members}{comma}{}}}", printer::member("default", site.as_str())),
            None => write!(f, "{members}{comma}\"default\":null}}"),
        }
    }
}
