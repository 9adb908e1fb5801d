//! The sites' elements as one list, and what stands around it.

use std::cmp::Ordering;
use std::io;

use serde_json::{Map, Value};

use super::answer::{self, Out};
use super::ask::{Ask, Paging};
use super::marker::{Cursor, Marker};
use super::source::{Failed, Source};
use super::{place, segments};
use crate::act::exchange::{Cause, ExchangeError, Finished, Next, Reached, Side};
use crate::act::scoped::{RunError, Scoped};
use crate::act::stream::Stream;
use crate::act::wire::Wire;
use crate::http::RequestHead;
use crate::http::head::Version;
use crate::names::SiteName;
use crate::profile::order;

/// The lists that are united.
pub(super) struct Union<'a> {
    pub(super) ask: &'a Ask,
    pub(super) sources: Vec<Source>,
    /// Without an order: the site whose turn it is.
    pub(super) at: usize,
    /// Of the sites that are not asked, or gave no list.
    pub(super) places: Vec<(String, Cursor)>,
}

/// Why the union is not whole although its answer has begun.
enum Lost {
    Client(io::Error),
    Site(String),
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Client(error)
    }
}

impl From<Failed> for Lost {
    fn from(failed: Failed) -> Self {
        Self::Site(failed.detail)
    }
}

/// A field around the list with another value than the first site's.
struct Change {
    pointer: Vec<String>,
    value: Value,
}

impl Union<'_> {
    /// Writes the whole answer.
    pub(super) async fn write<C>(
        mut self,
        client: &mut Wire<C>,
        scoped: &Scoped<'_>,
        asked: &RequestHead,
        tried: &[(SiteName, String)],
    ) -> Result<Finished, RunError>
    where
        C: Stream,
    {
        let first = self.sources.iter().position(|source| source.site == scoped.plan.entry).unwrap_or(0);
        let Some(head) = self.sources.get(first).map(|source| source.head.clone()) else {
            return Err(lost(Cause::Closed));
        };
        let mut out = Out::new(client, asked);
        out.head(answer::head(&head, asked, scoped.id, tried));
        let written = async {
            if asked.method() != "HEAD" {
                self.document(&mut out, first, scoped, asked).await?;
            }
            Ok(out.end().await?)
        };
        match written.await {
            Ok(()) => Ok(Finished {
                status: head.status(),
                bytes_in: 0,
                bytes_out: out.bytes,
                next: if asked.persists() && asked.version() != Version::Http10 { Next::Request } else { Next::End },
            }),
            Err(Lost::Client(error)) => Err(lost(Cause::Io(error))),
            Err(Lost::Site(detail)) => {
                tracing::warn!(request = scoped.id, detail, "a list of several sites is broken off");
                // A list that ends early must not look like a whole one.
                Err(lost(Cause::Io(io::ErrorKind::ConnectionAborted.into())))
            }
        }
    }

    async fn document<C>(
        &mut self,
        out: &mut Out<'_, C>,
        first: usize,
        scoped: &Scoped<'_>,
        asked: &RequestHead,
    ) -> Result<(), Lost>
    where
        C: Stream,
    {
        let path = self.sources.get(first).map(|source| source.splitter.path().to_vec()).unwrap_or_default();
        let opened = self.opened(first, &path);
        out.put(opened.as_bytes()).await?;
        out.put(b"[").await?;
        let mark = self.ask.list.mark;
        let mut count = 0;
        while self.ask.paging != Paging::Id || self.ask.limit.is_none_or(|limit| count < limit) {
            let Some(at) = self.next().await? else { break };
            let Some(source) = self.sources.get_mut(at) else { break };
            let Some(element) = source.take() else { break };
            if count > 0 {
                out.put(b",").await?;
            }
            let (whole, end) = if mark { marked(&element, &source.site) } else { (&*element, String::new()) };
            out.put(whole).await?;
            out.put(end.as_bytes()).await?;
            count += 1;
        }
        out.put(b"]").await?;
        let changes = self.changes(first, scoped, asked).await?;
        let closed = self.closed(first, &path, &changes);
        out.put(closed.as_bytes()).await?;
        Ok(())
    }

    /// The site with the next element, which is first in its queue; None at the page's end.
    async fn next(&mut self) -> Result<Option<usize>, Failed> {
        if self.ask.order.is_empty() { self.next_in_turn().await } else { self.next_in_order().await }
    }

    async fn next_in_turn(&mut self) -> Result<Option<usize>, Failed> {
        let whole_pages = matches!(self.ask.paging, Paging::Link | Paging::Token) && self.ask.limit.is_some();
        while let Some(source) = self.sources.get_mut(self.at) {
            if source.peek(self.ask).await? {
                return Ok(Some(self.at));
            }
            // What follows stands on this site's next page; and a page that has a length is one site's.
            if source.has_more(self.ask) || (whole_pages && source.has_taken()) {
                return Ok(None);
            }
            self.at += 1;
        }
        Ok(None)
    }

    async fn next_in_order(&mut self) -> Result<Option<usize>, Failed> {
        let mut least: Option<usize> = None;
        for at in 0..self.sources.len() {
            let Some(source) = self.sources.get_mut(at) else { continue };
            if !source.peek(self.ask).await? {
                if source.has_more(self.ask) {
                    // Its next element may come before all that the others have left.
                    return Ok(None);
                }
                continue;
            }
            let keys = |at: usize| self.sources.get(at).and_then(Source::first).map(|entry| entry.keys.as_slice());
            let before = least.is_some_and(|least| {
                let (one, other) = (keys(at).unwrap_or_default(), keys(least).unwrap_or_default());
                order::compare(one, other, &self.ask.order) != Ordering::Less
            });
            if !before {
                least = Some(at);
            }
        }
        Ok(least)
    }

    /// The first site's document up to the list, without what may change.
    fn opened(&self, first: usize, path: &[String]) -> String {
        let mut text = String::new();
        for (level, key) in path.iter().enumerate() {
            text.push('{');
            for member in self.sources.get(first).into_iter().flat_map(|source| &source.members) {
                if member.level == level && member.before && !self.may_change(member.level, &member.key, path) {
                    text += &format!("{}:{},", quoted(&member.key), String::from_utf8_lossy(&member.value));
                }
            }
            text += &format!("{}:", quoted(key));
        }
        text
    }

    fn may_change(&self, level: usize, key: &str, path: &[String]) -> bool {
        let list = &self.ask.list;
        let pointers = list.next.iter().chain(&list.token).chain(&list.totals);
        pointers
            .map(|pointer| segments(pointer.get_ref()))
            .any(|pointer| place(&pointer, path).is_some_and(|(at, name, _)| at == level && name == key))
    }

    /// The first site's document behind the list.
    fn closed(&self, first: usize, path: &[String], changes: &[Change]) -> String {
        let mut text = String::new();
        for level in (0..path.len()).rev() {
            let mut made: Vec<&Change> = Vec::new();
            let here = |change: &&Change| place(&change.pointer, path).is_some_and(|(at, ..)| at == level);
            for member in self.sources.get(first).into_iter().flat_map(|source| &source.members) {
                let changes_here = self.may_change(level, &member.key, path);
                if member.level != level || (member.before && !changes_here) {
                    continue;
                }
                let mut value = String::from_utf8_lossy(&member.value).into_owned();
                for change in changes.iter().filter(here) {
                    let Some((_, name, rest)) = place(&change.pointer, path) else { continue };
                    if *name == member.key {
                        let mut read = serde_json::from_str(&value).unwrap_or_default();
                        set(&mut read, rest, change.value.clone());
                        value = read.to_string();
                        made.push(change);
                    }
                }
                text += &format!(",{}:{value}", quoted(&member.key));
            }
            for change in changes.iter().filter(here) {
                if made.iter().any(|known| std::ptr::eq(*known, change)) {
                    continue;
                }
                let Some((_, name, rest)) = place(&change.pointer, path) else { continue };
                let mut value = Value::Null;
                set(&mut value, rest, change.value.clone());
                text += &format!(",{}:{value}", quoted(name));
            }
            text.push('}');
        }
        text
    }

    /// Reads what is needed of the documents' ends, and says what differs from the first site's.
    async fn changes(&mut self, first: usize, scoped: &Scoped<'_>, asked: &RequestHead) -> Result<Vec<Change>, Lost> {
        let ask = self.ask;
        let mut all = std::mem::take(&mut self.places);
        let mut goes_on = false;
        for source in &mut self.sources {
            source.peek(ask).await?;
            let place = source.place(ask);
            let place = place.ok_or_else(|| Lost::Site(format!("{}: no place to go on from", source.site)))?;
            goes_on |= !matches!(place, Cursor::Done(_)) && ask.paging != Paging::None;
            all.push((source.site.to_string(), place));
        }
        if let Some(source) = self.sources.get_mut(first) {
            source.drain(ask).await?;
        }
        let mut changes = Vec::new();
        if !ask.list.totals.is_empty() {
            for source in &mut self.sources {
                source.drain(ask).await?;
            }
            changes.extend(self.totals(&all));
        }
        let field = ask.list.token.as_ref().or(ask.list.next.as_ref());
        if let (true, Some(field)) = (goes_on, field) {
            let marker = Marker(all).write();
            let marker = marker.ok_or_else(|| Lost::Site("the next page's marker is too long".to_owned()))?;
            let value = match ask.paging {
                Paging::Token => marker,
                _ => {
                    let like = self.sources.iter().find_map(|source| source.link(ask));
                    ask.next(asked, scoped.plan, &marker, like.as_deref())
                }
            };
            changes.push(Change { pointer: segments(field.get_ref()), value: Value::from(value) });
        }
        Ok(changes)
    }

    /// Each total of the sites that gave a list, also on a page before.
    fn totals(&self, places: &[(String, Cursor)]) -> Vec<Change> {
        let ask = self.ask;
        let ended = places.iter().filter(|(site, _)| self.sources.iter().all(|source| source.site.as_str() != site));
        let ended: Vec<&Vec<Option<i64>>> = ended
            .filter_map(|(_, cursor)| if let Cursor::Done(totals) = cursor { Some(totals) } else { None })
            .collect();
        let lists: Vec<Vec<Option<i64>>> = self.sources.iter().map(|source| source.totals(ask)).collect();
        let sum = |at: usize| {
            let here = lists.iter().chain(ended.iter().copied()).filter_map(|totals| totals.get(at).copied().flatten());
            here.reduce(i64::saturating_add)
        };
        let pointers = ask.list.totals.iter().enumerate();
        pointers
            .filter_map(|(at, pointer)| {
                Some(Change { pointer: segments(pointer.get_ref()), value: Value::from(sum(at)?) })
            })
            .collect()
    }
}

fn lost(cause: Cause) -> RunError {
    RunError::Exchange(ExchangeError { side: Side::Service, reached: Reached::AnswerBegun, cause, body_taken: true })
}

/// An element's bytes up to where the mark goes, and the rest with the mark; one that is no object has no place for it.
fn marked<'a>(element: &'a [u8], site: &SiteName) -> (&'a [u8], String) {
    let Some(inside) = element.strip_suffix(b"}") else { return (element, String::new()) };
    let empty = inside.iter().skip(1).all(u8::is_ascii_whitespace);
    let comma = if empty { "" } else { "," };
    (inside, format!("{comma}\"cheops_site\":{}}}", quoted(site.as_str())))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Sets a field, and makes what leads to it.
fn set(value: &mut Value, path: &[String], new: Value) {
    let Some((name, rest)) = path.split_first() else {
        *value = new;
        return;
    };
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
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_are_marked_behind_their_last_member() {
        let mark = |element: &str| {
            let (bytes, end) = marked(element.as_bytes(), &"Ber\"lin".into());
            String::from_utf8_lossy(bytes).into_owned() + &end
        };
        assert_eq!(mark(r#"{"a":1.0 }"#), r#"{"a":1.0 ,"cheops_site":"Ber\"lin"}"#);
        assert_eq!(mark("{ }"), r#"{ "cheops_site":"Ber\"lin"}"#);
        assert_eq!((mark("[1]"), mark("7")), ("[1]".to_owned(), "7".to_owned()));
    }

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
    }
}
