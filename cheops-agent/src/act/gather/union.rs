//! The sites' elements as one list: which comes next, where the page ends, and what the next one begins with.

use std::cmp::Ordering;
use std::io;

use serde_json::Value;

use super::answer::{self, Out, Own};
use super::ask::{Ask, Paging};
use super::document::{Change, Frame};
use super::mark::marked;
use super::source::{Failed, Source};
use super::{nobody, segments};
use crate::act::exchange::{Cause, ExchangeError, Finished, Next, Reached, Side};
use crate::act::scoped::{RunError, Scoped};
use crate::act::shared::Shared;
use crate::act::stream::Stream;
use crate::act::wire::Wire;
use crate::http::head::Version;
use crate::http::{AnswerHead, Problem, RequestHead};
use crate::names::SiteName;
use crate::plan::marker::{Cursor, Marker};
use crate::profile::order;

/// Of a page of which the head tells where the next one begins: all of it is there before any of it goes out. Bytes.
const PAGE: usize = 4 << 20;

/// The lists that are united.
pub(super) struct Union<'a> {
    pub(super) shared: &'a Shared,
    pub(super) ask: &'a Ask,
    pub(super) sources: Vec<Source>,
    /// Without an order: the site whose turn it is.
    pub(super) at: usize,
    /// Of the sites that are not asked, or gave no list.
    pub(super) places: Vec<(String, Cursor)>,
    /// What each site came to.
    pub(super) tried: Vec<(SiteName, String)>,
}

/// A page that is put together before it goes out.
struct Page {
    /// Its elements with the commas between them.
    elements: Vec<u8>,
    changes: Vec<Change>,
    /// What the head says of the next one.
    next: Option<String>,
    /// Whose document it is.
    first: usize,
}

/// Why there is no whole union.
pub(super) enum Lost {
    Client(io::Error),
    Site(String),
    /// Nothing was sent to the client.
    Refused(Problem),
}

/// A site's list broke: which source it was.
pub(super) type Broke = (usize, Failed);

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Client(error)
    }
}

impl From<Broke> for Lost {
    fn from((_, failed): Broke) -> Self {
        Self::Site(failed.detail)
    }
}

impl Union<'_> {
    /// Writes the whole answer.
    pub(super) async fn write<C>(
        mut self,
        client: &mut Wire<C>,
        scoped: &Scoped<'_>,
        asked: &RequestHead,
    ) -> Result<Finished, RunError>
    where
        C: Stream,
    {
        let mut out = Out::new(client, asked);
        match self.written(&mut out, scoped, asked).await {
            Ok(status) => Ok(Finished {
                status,
                bytes_in: 0,
                bytes_out: out.bytes,
                next: if asked.persists() && asked.version() != Version::Http10 { Next::Request } else { Next::End },
            }),
            Err(Lost::Refused(problem)) => Err(RunError::refused(problem, scoped.request)),
            Err(Lost::Client(error)) => Err(lost(Cause::Io(error))),
            Err(Lost::Site(detail)) => {
                tracing::warn!(request = scoped.id, detail, "a list of several sites is broken off");
                // A list that ends early must not look like a whole one.
                Err(lost(Cause::Io(io::ErrorKind::ConnectionAborted.into())))
            }
        }
    }

    /// The answer's status, once it is on its way whole.
    async fn written<C>(&mut self, out: &mut Out<'_, C>, scoped: &Scoped<'_>, asked: &RequestHead) -> Result<u16, Lost>
    where
        C: Stream,
    {
        let with_body = asked.method() != "HEAD";
        if with_body {
            self.pass(scoped).await?;
        }
        let mut page = if with_body && self.is_told_in_head() { Some(self.page(scoped, asked).await?) } else { None };
        let first = page.as_ref().map_or_else(|| self.first(scoped), |page| page.first);
        let head = self.head(first)?;
        let own = Own {
            list: &self.ask.list,
            tried: &self.tried,
            next: page.as_mut().and_then(|page| page.next.take()),
            totals: self.head_totals(),
        };
        out.head(answer::head(&head, asked, &scoped.marks(&[]), &own));
        match page {
            _ if !with_body => {}
            Some(page) => {
                out.put(self.frame(first)?.opened().as_bytes()).await?;
                out.put(b"[").await?;
                out.put(&page.elements).await?;
                out.put(b"]").await?;
                out.put(self.frame(first)?.closed(&page.changes).as_bytes()).await?;
            }
            None => self.stream(out, first, scoped, asked).await?,
        }
        out.end().await?;
        Ok(head.status())
    }

    /// Writes the body while it comes.
    async fn stream<C>(
        &mut self,
        out: &mut Out<'_, C>,
        first: usize,
        scoped: &Scoped<'_>,
        asked: &RequestHead,
    ) -> Result<(), Lost>
    where
        C: Stream,
    {
        let opened = self.frame(first)?.opened();
        out.put(opened.as_bytes()).await?;
        out.put(b"[").await?;
        let (mut count, cuts) = (0, self.ask.cuts());
        while !cuts || self.ask.limit.is_none_or(|limit| count < limit) {
            let Some(element) = self.element(count > 0).await? else {
                match self.ask.behind.is_some() && self.turn(scoped).await? {
                    true => continue,
                    false => break,
                }
            };
            out.put(&element).await?;
            count += 1;
        }
        out.put(b"]").await?;
        let (changes, _) = self.changes(first, scoped, asked).await?;
        let closed = self.frame(first)?.closed(&changes);
        out.put(closed.as_bytes()).await?;
        Ok(())
    }

    /// Whether the head has to say where the next page begins.
    fn is_told_in_head(&self) -> bool {
        let another = || self.ask.limit.is_some() || self.sources.iter().any(|source| source.link(self.ask).is_some());
        self.ask.list.header().is_some() && another()
    }

    /// The whole page. A site whose list breaks meanwhile is left out of the rest of it, and named.
    async fn page(&mut self, scoped: &Scoped<'_>, asked: &RequestHead) -> Result<Page, Lost> {
        let (mut elements, mut count, mut failures) = (Vec::new(), 0, Vec::new());
        while elements.len() < PAGE && self.ask.limit.is_none_or(|limit| count < limit) {
            match self.element(count > 0).await {
                Ok(None) => break,
                Ok(Some(element)) => {
                    elements.extend_from_slice(&element);
                    count += 1;
                }
                Err(broke) => failures.push(self.leave_out(broke)),
            }
        }
        loop {
            if self.sources.is_empty() {
                return Err(Lost::Refused(nobody(&failures)));
            }
            let first = self.first(scoped);
            match self.changes(first, scoped, asked).await {
                Ok((changes, next)) => return Ok(Page { elements, changes, next, first }),
                Err(Changing::Broke(broke)) => failures.push(self.leave_out(broke)),
                Err(Changing::Lost(detail)) => return Err(Lost::Refused(super::broken(detail))),
            }
        }
    }

    /// What was taken of it stays; the rest may be had with a later page.
    pub(super) fn leave_out(&mut self, (at, failed): Broke) -> Failed {
        if at < self.sources.len() {
            let source = self.sources.remove(at);
            let outcome = failed.outcome.to_owned();
            self.tried.iter_mut().filter(|(site, _)| *site == source.site).for_each(|one| one.1 = outcome.clone());
            self.places.push((source.site.to_string(), source.broken_at(self.ask)));
            if at < self.at {
                self.at -= 1;
            }
        }
        failed
    }

    /// The source whose document is the union's: the entry site's, else the first.
    fn first(&self, scoped: &Scoped<'_>) -> usize {
        self.sources.iter().position(|source| source.site == scoped.plan.entry).unwrap_or(0)
    }

    fn head(&self, first: usize) -> Result<AnswerHead, Lost> {
        let source = self.sources.get(first).ok_or_else(|| Lost::Site("no list is left".to_owned()))?;
        Ok(source.head.clone())
    }

    fn frame(&self, first: usize) -> Result<Frame<'_>, Lost> {
        let source = self.sources.get(first).ok_or_else(|| Lost::Site("no list is left".to_owned()))?;
        Ok(Frame { list: &self.ask.list, source })
    }

    /// The next element with its mark, behind a comma if it is not the first; None at the page's end.
    async fn element(&mut self, behind: bool) -> Result<Option<Vec<u8>>, Broke> {
        let next = self.next().await?;
        let Some(source) = next.and_then(|at| self.sources.get_mut(at)) else { return Ok(None) };
        let Some(element) = source.take() else { return Ok(None) };
        let mut out = Vec::with_capacity(element.len() + 64);
        if behind {
            out.push(b',');
        }
        let (whole, end) = if self.ask.list.mark { marked(&element, &source.site) } else { (&*element, String::new()) };
        out.extend_from_slice(whole);
        out.extend_from_slice(end.as_bytes());
        Ok(Some(out))
    }

    /// The site with the next element, which is first in its queue; None at the page's end.
    pub(super) async fn next(&mut self) -> Result<Option<usize>, Broke> {
        if self.ask.order.is_empty() { self.next_in_turn().await } else { self.next_in_order().await }
    }

    async fn next_in_turn(&mut self) -> Result<Option<usize>, Broke> {
        let ask = self.ask;
        let pages = matches!(ask.paging, Paging::Link | Paging::Token) && ask.list.header().is_none();
        let whole_pages = pages && ask.limit.is_some();
        while let Some(source) = self.sources.get_mut(self.at) {
            if source.peek(ask).await.map_err(|failed| (self.at, failed))? {
                return Ok(Some(self.at));
            }
            // What follows stands on this site's next page; and a page that has a length is one site's.
            if source.has_more(ask) || (whole_pages && source.has_taken()) {
                return Ok(None);
            }
            self.at += 1;
        }
        Ok(None)
    }

    async fn next_in_order(&mut self) -> Result<Option<usize>, Broke> {
        let mut least: Option<usize> = None;
        for at in 0..self.sources.len() {
            let Some(source) = self.sources.get_mut(at) else { continue };
            if !source.peek(self.ask).await.map_err(|failed| (at, failed))? {
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

    /// Reads what is needed of the documents' ends. What differs from the first site's document, and what the head says of
    /// the next page.
    async fn changes(
        &mut self,
        first: usize,
        scoped: &Scoped<'_>,
        asked: &RequestHead,
    ) -> Result<(Vec<Change>, Option<String>), Changing> {
        let ask = self.ask;
        let (all, goes_on) = self.all_places().await?;
        for (at, source) in self.sources.iter_mut().enumerate() {
            if at == first || !ask.list.totals.is_empty() {
                source.drain(ask).await.map_err(|failed| (at, failed))?;
            }
        }
        let pointers = ask.list.totals.iter();
        let sums = pointers.enumerate().filter_map(|(at, pointer)| {
            Some(Change { pointer: segments(pointer.get_ref()), value: Value::from(self.sum(at)?) })
        });
        let mut changes: Vec<Change> = sums.collect();
        if !goes_on {
            return Ok((changes, None));
        }
        let next = self.next_page(all, scoped, asked)?;
        match ask.list.token.as_ref().or(ask.list.next.as_ref()) {
            Some(field) => {
                changes.push(Change { pointer: segments(field.get_ref()), value: Value::from(next) });
                Ok((changes, None))
            }
            None => Ok((changes, Some(next))),
        }
    }

    /// Where each site's list goes on, and whether there is another page.
    async fn all_places(&mut self) -> Result<(Vec<(String, Cursor)>, bool), Changing> {
        let (mut all, mut goes_on) = (self.places.clone(), false);
        for (at, source) in self.sources.iter_mut().enumerate() {
            source.peek(self.ask).await.map_err(|failed| (at, failed))?;
            let place = source.place(self.ask);
            let place = place.ok_or_else(|| Changing::Lost(format!("{}: no place to go on from", source.site)))?;
            goes_on |= !matches!(place, Cursor::Done(_)) && self.ask.paging != Paging::None;
            all.push((source.site.to_string(), place));
        }
        // Pages follow one another in the same order of sites.
        all.sort_by_key(|(site, _)| self.tried.iter().position(|(tried, _)| tried.as_str() == site));
        Ok((all, goes_on))
    }

    /// What leads to the next page.
    fn next_page(
        &self,
        all: Vec<(String, Cursor)>,
        scoped: &Scoped<'_>,
        asked: &RequestHead,
    ) -> Result<String, Changing> {
        let marker = Marker(all).write();
        let marker = marker.ok_or_else(|| Changing::Lost("the next page's marker is too long".to_owned()))?;
        if self.ask.paging == Paging::Token {
            return Ok(marker);
        }
        let like = self.sources.iter().find_map(|source| source.link(self.ask));
        Ok(self.ask.next(asked, scoped.plan, &marker, like.as_deref()))
    }

    /// A total of the sites that gave a list, also on a page before.
    fn sum(&self, at: usize) -> Option<i64> {
        let ended = self.places.iter().filter_map(|(_, cursor)| match cursor {
            Cursor::Done(totals) => totals.get(at).copied().flatten(),
            _ => None,
        });
        let here = self.sources.iter().filter_map(|source| source.totals(self.ask).get(at).copied().flatten());
        here.chain(ended).reduce(i64::saturating_add)
    }

    /// The sums that stand in the head.
    fn head_totals(&self) -> Vec<(&str, Option<i64>)> {
        let before = self.ask.list.totals.len();
        let names = self.ask.list.total_headers.iter().enumerate();
        names.map(|(at, name)| (name.get_ref().as_str(), self.sum(before + at))).collect()
    }
}

/// Why there is no end of the document.
enum Changing {
    Broke(Broke),
    Lost(String),
}

impl From<Broke> for Changing {
    fn from(broke: Broke) -> Self {
        Self::Broke(broke)
    }
}

impl From<Changing> for Lost {
    fn from(error: Changing) -> Self {
        match error {
            Changing::Broke(broke) => broke.into(),
            Changing::Lost(detail) => Self::Site(detail),
        }
    }
}

fn lost(cause: Cause) -> RunError {
    RunError::Exchange(ExchangeError { side: Side::Service, reached: Reached::AnswerBegun, cause, body_taken: true })
}
