//! TOML with the place of every key and value, and the merging of drop-ins.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Findings, Place, Source};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Integer(i64),
    Flag(bool),
    /// A float or a date, which no key takes; named for the message.
    Other(&'static str),
    Array(Vec<Node>),
    Table(Table),
}

/// Keys in order, each with its own place.
pub type Table = BTreeMap<String, Entry>;

#[derive(Clone, Debug)]
pub struct Entry {
    pub key: Place,
    pub node: Node,
}

impl Node {
    /// What a reader calls this type.
    pub fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "a number",
            Value::Flag(_) => "true or false",
            Value::Other(name) => name,
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// Reads one file. Syntax errors become findings; what could be read is returned.
pub fn parse(source: &Arc<Source>, findings: &mut Findings) -> Table {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in &errors {
        let place = error.span().map(|span| Place { source: source.clone(), span });
        findings.error(place.as_ref(), error.message().to_owned());
    }
    convert_table(source, table.into_inner())
}

fn convert_table(source: &Arc<Source>, table: DeTable<'_>) -> Table {
    table
        .into_iter()
        .map(|(key, value)| {
            let place = Place { source: source.clone(), span: key.span() };
            (key.into_inner().into_owned(), Entry { key: place, node: convert(source, value) })
        })
        .collect()
}

fn convert(source: &Arc<Source>, value: Spanned<DeValue<'_>>) -> Node {
    let span: Range<usize> = value.span();
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Value::Integer(integer),
            Err(_) => Value::Other("a number out of range"),
        },
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::Array(items.into_iter().map(|item| convert(source, item)).collect()),
        DeValue::Table(table) => Value::Table(convert_table(source, table)),
    };
    Node { place: Place { source: source.clone(), span }, value }
}

/// Lays `over` on `base`: a later value wins, tables are merged, and elements of lists of tables are merged by `name`.
pub fn merge(base: &mut Table, over: Table) {
    for (key, entry) in over {
        match base.get_mut(&key) {
            Some(known) => merge_entry(known, entry),
            None => {
                base.insert(key, entry);
            }
        }
    }
}

fn merge_entry(known: &mut Entry, entry: Entry) {
    match (&mut known.node.value, entry.node.value) {
        (Value::Table(base), Value::Table(over)) => merge(base, over),
        (Value::Array(base), Value::Array(over)) if tables(base) && tables(&over) => {
            // Only elements that earlier files named can be meant: two of one name in this file are a mistake to report.
            let earlier = base.len();
            for node in over {
                merge_element(base, earlier, node);
            }
        }
        (_, value) => *known = Entry { key: entry.key, node: Node { place: entry.node.place, value } },
    }
}

fn merge_element(base: &mut Vec<Node>, earlier: usize, node: Node) {
    let name = name_of(&node).map(str::to_owned);
    let same = base.iter_mut().take(earlier).find(|known| name.is_some() && name_of(known) == name.as_deref());
    match same {
        Some(Node { value: Value::Table(base), .. }) => {
            if let Value::Table(over) = node.value {
                merge(base, over);
            }
        }
        _ => base.push(node),
    }
}

fn tables(nodes: &[Node]) -> bool {
    !nodes.is_empty() && nodes.iter().all(|node| matches!(node.value, Value::Table(_)))
}

fn name_of(node: &Node) -> Option<&str> {
    let Value::Table(table) = &node.value else { return None };
    match &table.get("name")?.node.value {
        Value::Text(name) => Some(name),
        _ => None,
    }
}
