//! What stands around the united list: one site's document, with what differs in it.

use serde_json::{Map, Value, json};

use super::source::Source;
use super::{place, relation, segments};
use crate::profile::List;

/// A field around the list with another value than the site's.
pub(super) struct Change {
    pub(super) pointer: Vec<String>,
    pub(super) value: Value,
}

/// One site's document without its list.
pub(super) struct Frame<'a> {
    pub(super) list: &'a List,
    pub(super) source: &'a Source,
}

impl Frame<'_> {
    fn path(&self) -> &[String] {
        self.source.splitter.path()
    }

    /// The document up to the list, without what may change.
    pub(super) fn opened(&self) -> String {
        let mut text = String::new();
        for (level, key) in self.path().iter().enumerate() {
            text.push('{');
            for member in &self.source.members {
                if member.level == level && member.before && !self.may_change(member.level, &member.key) {
                    text += &format!("{}:{},", quoted(&member.key), String::from_utf8_lossy(&member.value));
                }
            }
            text += &format!("{}:", quoted(key));
        }
        text
    }

    fn may_change(&self, level: usize, key: &str) -> bool {
        let pointers = self.list.next.iter().chain(&self.list.token).chain(&self.list.totals);
        pointers
            .map(|pointer| segments(pointer.get_ref()))
            .any(|pointer| place(&pointer, self.path()).is_some_and(|(at, name, _)| at == level && name == key))
    }

    /// The document behind the list.
    pub(super) fn closed(&self, changes: &[Change]) -> String {
        let mut text = String::new();
        for level in (0..self.path().len()).rev() {
            let mut here: Vec<&Change> = changes.iter().filter(|change| self.stands(change, level)).collect();
            for member in self.source.members.iter().filter(|member| member.level == level) {
                if member.before && !self.may_change(level, &member.key) {
                    continue;
                }
                let mut value = String::from_utf8_lossy(&member.value).into_owned();
                here.retain(|change| {
                    let Some((_, name, rest)) = place(&change.pointer, self.path()) else { return false };
                    if *name != member.key {
                        return true;
                    }
                    let mut read = serde_json::from_str(&value).unwrap_or_default();
                    set(&mut read, rest, change.value.clone());
                    value = read.to_string();
                    false
                });
                text += &format!(",{}:{value}", quoted(&member.key));
            }
            text += &made(&here, self.path());
            text.push('}');
        }
        text
    }

    fn stands(&self, change: &Change, level: usize) -> bool {
        place(&change.pointer, self.path()).is_some_and(|(at, ..)| at == level)
    }
}

/// The members of one object that the site's document doesn't have.
fn made(changes: &[&Change], path: &[String]) -> String {
    let mut members: Vec<(&str, Value)> = Vec::new();
    for change in changes {
        let Some((_, name, rest)) = place(&change.pointer, path) else { continue };
        let at = members.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            members.push((name, Value::Null));
            members.len() - 1
        });
        if let Some((_, value)) = members.get_mut(at) {
            set(value, rest, change.value.clone());
        }
    }
    members.iter().map(|(name, value)| format!(",{}:{value}", quoted(name))).collect()
}

/// As JSON.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Sets a field, and makes what leads to it.
fn set(value: &mut Value, path: &[String], new: Value) {
    let Some((name, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if let Some(rel) = relation(name)
        && !value.is_object()
    {
        let Value::Array(links) = value else {
            *value = Value::Array(Vec::new());
            return set(value, path, new);
        };
        let is = |link: &Value| link.get("rel").and_then(Value::as_str) == Some(rel);
        if !links.iter().any(is) {
            links.push(json!({ "rel": rel }));
        }
        links.iter_mut().filter(|link| is(link)).take(1).for_each(|link| set(link, rest, new.clone()));
        return;
    }
    if let Ok(at) = name.parse::<usize>().map(|at| at.min(64))
        && !value.is_object()
    {
        if !value.is_array() {
            *value = Value::Array(Vec::new());
        }
        if let Value::Array(array) = value {
            array.resize(array.len().max(at + 1), Value::Null);
            array.get_mut(at).into_iter().for_each(|value| set(value, rest, new.clone()));
        }
        return;
    }
    if !value.is_object() {
        let mut object = Map::new();
        if name == "href" {
            // Clients look for the relation (RFC 8288, 3.3).
            object.insert("rel".to_owned(), Value::from("next"));
        }
        *value = Value::Object(object);
    }
    if let Value::Object(object) = value {
        set(object.entry(name.clone()).or_insert(Value::Null), rest, new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_set_and_made() {
        let made = |mut value: Value, pointer: &str| {
            set(&mut value, &segments(pointer), json!("x"));
            value
        };
        assert_eq!(made(Value::Null, "/0/href"), json!([{"rel": "next", "href": "x"}]));
        assert_eq!(made(json!({"a": 1}), "/continue"), json!({"a": 1, "continue": "x"}));
        assert_eq!(made(json!([{"href": "old", "rel": "next"}]), "/0/href"), json!([{"href": "x", "rel": "next"}]));
        assert_eq!(made(json!(null), ""), json!("x"));
        assert_eq!(made(Value::Null, "/rel=next/href"), json!([{"rel": "next", "href": "x"}]));
        let previous = json!([{"rel": "previous", "href": "p"}]);
        let both = json!([{"rel": "previous", "href": "p"}, {"rel": "next", "href": "x"}]);
        assert_eq!(made(previous.clone(), "/rel=next/href"), both);
        assert_eq!(super::super::get(&both, &segments("/rel=next/href")), Some(&json!("x")));
        assert_eq!(super::super::get(&previous, &segments("/rel=next/href")), None);
    }
}
