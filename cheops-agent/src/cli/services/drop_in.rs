//! The drop-in of services that are known from a platform. Only what is told of a site is written; all else that stands
//! in the file stays as it is, comments too.

use std::collections::BTreeSet;

use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value};

use crate::config::{EndpointUrl, endpoint_url};

const INTRODUCTION: &str = "\
# Written by `cheops services import openstack`, which replaces the endpoints of the site that it is run for, and leaves
# all else as it stands here. What other files of the configuration say of a service holds besides.

";

/// A service, as it is written for one site.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    pub name: &'a str,
    /// Its type and profile; none where another file says them.
    pub about: Option<(&'a str, &'a str)>,
    /// At the site.
    pub urls: &'a [EndpointUrl],
}

/// What became of one service at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Added,
    Changed,
    Same,
    Removed,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Same => "same",
            Self::Removed => "removed",
        }
    }
}

/// The file, as it is being changed.
pub struct DropIn {
    document: DocumentMut,
    is_new: bool,
}

/// Why a file can't be changed.
#[derive(Debug, thiserror::Error)]
pub enum DropInError {
    #[error("line {0}: {1}")]
    NotToml(usize, String),
    #[error("\"{0}\" stands there otherwise than this command writes it: write it as {1}")]
    Form(&'static str, &'static str),
}

impl DropIn {
    /// Reads what stands there; nothing if there is no file yet.
    pub fn read(text: &str) -> Result<Self, DropInError> {
        let is_new = text.trim().is_empty();
        let text = if is_new { "" } else { text };
        let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            DropInError::NotToml(before.matches('\n').count() + 1, error.message().to_owned())
        })?;
        if document.get("services").is_some_and(|services| !services.is_array_of_tables()) {
            return Err(DropInError::Form("services", "[[services]]"));
        }
        Ok(Self { document, is_new })
    }

    /// The name and type of each service.
    pub fn services(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let tables = self.document.get("services").and_then(Item::as_array_of_tables);
        tables.into_iter().flatten().filter_map(|table| Some((text(table, "name")?, text(table, "type"))))
    }

    /// The service's endpoints at `site` are these from now on.
    ///
    /// # Errors
    /// When its endpoints are no table.
    pub fn put(&mut self, service: Written<'_>, site: &str) -> Result<State, DropInError> {
        let services = self.tables()?;
        let index = services.iter().position(|table| text(table, "name") == Some(service.name));
        let table = match index.and_then(|index| services.get_mut(index)) {
            Some(table) => table,
            None => {
                services.push(fresh(service));
                services.iter_mut().last().ok_or(DropInError::Form("services", "[[services]]"))?
            }
        };
        let endpoints = table.entry("endpoints").or_insert_with(|| Item::Value(InlineTable::new().into()));
        let form = DropInError::Form("endpoints", "endpoints = { Site = \"http://…\" }");
        let endpoints = endpoints.as_table_like_mut().ok_or(form)?;
        let state = match endpoints.get(site).map(urls) {
            None => State::Added,
            Some(before) if before.as_deref() == Some(service.urls) => State::Same,
            Some(_) => State::Changed,
        };
        if state != State::Same {
            // A comment at the key stays.
            match endpoints.get_mut(site) {
                Some(known) => *known = Item::Value(value(service.urls)),
                None => drop(endpoints.insert(site, Item::Value(value(service.urls)))),
            }
            if let Some(inline) = table.get_mut("endpoints").and_then(Item::as_inline_table_mut) {
                inline.fmt();
            }
        }
        Ok(state)
    }

    /// Takes the endpoints at `site` away of all services but those of these names. The names of the others.
    pub fn keep_only(&mut self, names: &BTreeSet<&str>, site: &str) -> Result<Vec<String>, DropInError> {
        let services = self.tables()?;
        let (mut gone, mut empty) = (Vec::new(), Vec::new());
        for (index, table) in services.iter_mut().enumerate() {
            let name = text(table, "name").unwrap_or_default().to_owned();
            if names.contains(name.as_str()) {
                continue;
            }
            let Some(endpoints) = table.get_mut("endpoints").and_then(Item::as_table_like_mut) else { continue };
            if endpoints.remove(site).is_some() {
                gone.push(name);
                if endpoints.is_empty() {
                    empty.push(index);
                }
            }
        }
        empty.into_iter().rev().for_each(|index| drop(services.remove(index)));
        Ok(gone)
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let introduction = if self.is_new { INTRODUCTION } else { "" };
        format!("{introduction}{}", self.document)
    }

    fn tables(&mut self) -> Result<&mut ArrayOfTables, DropInError> {
        let services = self.document.entry("services").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        services.as_array_of_tables_mut().ok_or(DropInError::Form("services", "[[services]]"))
    }
}

fn text<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get(key).and_then(Item::as_str)
}

/// A service that the file didn't have.
fn fresh(service: Written<'_>) -> Table {
    let about = service.about.map(|(kind, profile)| [("type", kind), ("profile", profile)]);
    let mut table = Table::new();
    for (key, text) in [("name", service.name)].into_iter().chain(about.into_iter().flatten()) {
        table.insert(key, Item::Value(text.into()));
    }
    table
}

fn value(all: &[EndpointUrl]) -> Value {
    match all {
        [one] => one.url().into(),
        several => several.iter().map(EndpointUrl::url).collect::<Array>().into(),
    }
}

/// The URLs that stand in a site's value; none if one is none.
fn urls(item: &Item) -> Option<Vec<EndpointUrl>> {
    let list = item.as_array().into_iter().flatten().map(|one| one.as_str().unwrap_or_default());
    item.as_str().into_iter().chain(list).map(|url| endpoint_url(url).ok()).collect()
}

#[cfg(test)]
mod tests;
