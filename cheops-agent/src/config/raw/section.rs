//! A table of the file, read key by key by the table of keys.

use std::sync::Arc;

use super::Located;
use crate::config::diagnostic::{Findings, Place, Source, did_you_mean};
use crate::config::keys::{self, Absent, KEYS, SECTIONS};
use crate::config::source::{self, Entry, Node, Table, Value};
use crate::config::values;

/// One table of the file, or none: then every key has its default.
pub(super) struct Section<'a> {
    /// As in [`KEYS`]: empty, `timeouts`, `services[]`.
    pub(super) path: &'static str,
    pub(super) table: Option<&'a Table>,
    pub(super) place: Option<&'a Place>,
}

impl<'a> Section<'a> {
    pub(super) fn section(&self, name: &'static str, findings: &mut Findings) -> Section<'a> {
        let none = Section { path: name, table: None, place: None };
        let Some(entry) = self.table.and_then(|table| table.get(name)) else { return none };
        let Value::Table(table) = &entry.node.value else {
            findings.error(
                Some(&entry.node.place),
                format!("\"{name}\" is a table: write [{name}], not {}", entry.node.type_name()),
            );
            return none;
        };
        let section = Section { path: name, table: Some(table), place: Some(&entry.key) };
        section.unknown_keys(findings);
        section
    }

    pub(super) fn list(&self, name: &'static str, findings: &mut Findings) -> Vec<Section<'a>> {
        let Some(entry) = self.table.and_then(|table| table.get(name)) else { return Vec::new() };
        let path =
            SECTIONS.iter().find(|(path, _)| path.strip_suffix("[]") == Some(name)).map_or(name, |(path, _)| path);
        let Value::Array(items) = &entry.node.value else {
            findings.error(Some(&entry.key), format!("\"{name}\" is a list of tables: write [[{name}]]"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items {
            if let Value::Table(table) = &item.value {
                let section = Section { path, table: Some(table), place: Some(&item.place) };
                section.unknown_keys(findings);
                sections.push(section);
            } else {
                findings
                    .error(Some(&item.place), format!("an element of \"{name}\" is a table, not {}", item.type_name()));
            }
        }
        sections
    }

    /// Reports each key that the table of keys doesn't know here.
    pub(super) fn unknown_keys(&self, findings: &mut Findings) {
        let known: Vec<&str> = self.names().collect();
        for (name, entry) in self.table.into_iter().flatten() {
            if known.contains(&name.as_str()) {
                continue;
            }
            let near = did_you_mean(name, known.iter().copied());
            let hint = if near.is_empty() { elsewhere(name) } else { near };
            findings.error(Some(&entry.key), format!("unknown key \"{name}\"{hint}"));
        }
    }

    /// Names that may stand in this section.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let path = self.path;
        let keys = KEYS.iter().map(|key| keys::split(key.path)).filter(move |(section, _)| *section == path);
        let sections = SECTIONS.iter().filter(move |_| path.is_empty()).map(|(name, _)| name.trim_end_matches("[]"));
        keys.map(|(_, name)| name).chain(sections)
    }

    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.table.and_then(|table| table.get(name))
    }

    pub(super) fn optional<T>(
        &self,
        name: &str,
        convert: fn(&Node) -> Option<T>,
        findings: &mut Findings,
    ) -> Option<Located<T>> {
        let entry = self.entry(name)?;
        let place = Some(entry.node.place.clone());
        if let Some(value) = convert(&entry.node) {
            return Some(Located { value, place });
        }
        let expected = keys::find(&self.full(name)).map_or_else(String::new, |key| key.kind.describe());
        findings.error(place.as_ref(), format!("\"{name}\" must be {expected}; this is {}", found(&entry.node)));
        None
    }

    pub(super) fn required<T>(
        &self,
        name: &str,
        convert: fn(&Node) -> Option<T>,
        findings: &mut Findings,
    ) -> Option<Located<T>> {
        if self.entry(name).is_none() {
            let meaning = keys::find(&self.full(name)).map_or("", |key| key.meaning);
            let place =
                if self.path.is_empty() { "".to_owned() } else { format!(" in [{}]", self.path.replace("[]", "")) };
            findings.error(self.place, format!("\"{name}\" is missing{place}. {meaning}"));
        }
        self.optional(name, convert, findings)
    }

    pub(super) fn get<T: Default>(
        &self,
        name: &str,
        convert: fn(&Node) -> Option<T>,
        findings: &mut Findings,
    ) -> Located<T> {
        self.optional(name, convert, findings).unwrap_or_else(|| Located {
            value: default(&self.full(name)).as_ref().and_then(convert).unwrap_or_default(),
            place: None,
        })
    }

    pub(super) fn word<T: Copy>(&self, name: &str, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        let Some(entry) = self.entry(name) else {
            let default = default(&self.full(name))?;
            return words.iter().find(|(word, _)| values::text(&default) == Some(word)).map(|(_, value)| *value);
        };
        let written = values::text(&entry.node);
        if let Some((_, value)) = words.iter().find(|(word, _)| Some(*word) == written) {
            return Some(*value);
        }
        let expected = keys::find(&self.full(name)).map_or_else(String::new, |key| key.kind.describe());
        let near =
            written.map(|written| did_you_mean(written, words.iter().map(|(word, _)| *word))).unwrap_or_default();
        findings.error(Some(&entry.node.place), format!("\"{name}\" must be {expected}{near}"));
        None
    }
}

fn found(node: &Node) -> String {
    match &node.value {
        Value::Text(text) if text.chars().count() <= 40 => format!("\"{text}\""),
        Value::Integer(number) => number.to_string(),
        _ => node.type_name().to_owned(),
    }
}

/// Where a key that is unknown here would be known.
fn elsewhere(name: &str) -> String {
    let other =
        KEYS.iter().map(|key| keys::split(key.path)).find(|(section, key)| *key == name && !section.ends_with("[]"));
    match other {
        Some(("", _)) => format!(": \"{name}\" stands before the first [table]"),
        Some((section, _)) => format!(": \"{name}\" belongs to [{section}]"),
        None => String::new(),
    }
}

/// The table's default as a node; nothing for keys without one.
pub(super) fn default(path: &str) -> Option<Node> {
    let Absent::Default(text) = keys::find(path)?.absent else { return None };
    let source = Arc::new(Source { path: "default".into(), text: format!("default = {text}") });
    let mut table = source::parse(&source, &mut Findings::default());
    table.remove("default").map(|entry| entry.node)
}
