//! One site's list, read only as fast as it is united with the others.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes};
use serde_json::Value;
use tokio::time::timeout;

use super::ask::{Ask, Paging, query};
use super::link;
use super::split::{Member, Part, Sizes, SplitError, Splitter};
use crate::act::asked;
use crate::act::exchange::Bounds;
use crate::act::far::Far;
use crate::act::forward::{self, Declined};
use crate::act::scoped::Scoped;
use crate::act::shared::Shared;
use crate::act::wire::Wire;
use crate::http::{AnswerHead, Body, Code};
use crate::names::SiteName;
use crate::plan::Destination;
use crate::plan::marker::Cursor;
use crate::profile::order;

/// Of one element, and of what stands around the list. Bytes.
const SIZES: Sizes = Sizes { element: 1 << 20, outside: 1 << 18 };
/// Of all elements of one site. Bytes.
const MAX_LIST: u64 = 1 << 32;
/// So much of a list is read before it is united: what breaks before is known when the answer's head is written. Bytes.
const WINDOW: usize = 64 * 1024;
/// Ids of the last elements that a place remembers: the last one may be deleted before the next page is asked for.
const TRAIL: usize = 3;

/// Why a site's list is not there, or not whole: as `X-Cheops-Sites` names it, and in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) outcome: &'static str,
    pub(super) detail: String,
}

/// What asking one site came to.
pub(super) enum Begun {
    List(Box<Source>),
    /// Another answer than a list.
    Answer(Box<Declined>),
    Failed(Failed),
    /// Its list ended on a page before.
    Done(Vec<Option<i64>>),
}

/// An element, and what it is sorted by.
pub(super) struct Entry {
    pub(super) bytes: Bytes,
    pub(super) keys: Vec<Value>,
}

/// A site's list on its way.
pub(super) struct Source {
    pub(super) site: SiteName,
    pub(super) head: AnswerHead,
    pub(super) members: Vec<Member>,
    pub(super) splitter: Splitter,
    wire: Wire<Far>,
    body: Body,
    ended: bool,
    queue: VecDeque<Entry>,
    queued: usize,
    came: usize,
    total: u64,
    /// How many were taken.
    count: usize,
    /// The last elements that were taken.
    taken: VecDeque<Bytes>,
    /// Some were neither taken nor kept.
    left: bool,
    /// Where this page began.
    cursor: Cursor,
    within: Duration,
}

/// An element's id.
pub(super) fn id(element: &[u8], ask: &Ask) -> Option<String> {
    let pointer = ask.list.id.as_ref().map_or("/id", |id| id.get_ref().as_str());
    match serde_json::from_slice::<Value>(element).ok()?.pointer(pointer)? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// Asks one site, and reads its list's beginning.
pub(super) async fn begin(shared: &Shared, scoped: &Scoped<'_>, ask: &Ask, to: &Destination) -> Begun {
    begin_at(shared, scoped, ask, to, ask.cursor(&to.site)).await
}

/// The same, at a place of the list.
pub(super) async fn begin_at(
    shared: &Shared,
    scoped: &Scoped<'_>,
    ask: &Ask,
    to: &Destination,
    mut cursor: Cursor,
) -> Begun {
    if let Cursor::Done(totals) = cursor {
        return Begun::Done(totals);
    }
    loop {
        let within = Duration::from_secs(ask.list.within);
        let asked = timeout(within, asked(shared, scoped, ask, to, &cursor)).await;
        let late = || failed("timeout", format!("{} did not answer within {} s", to.site, within.as_secs()));
        let (head, wire) = match asked {
            Ok(Ok(answered)) => answered,
            Ok(Err(failed)) => return Begun::Failed(failed),
            Err(_) => return Begun::Failed(late()),
        };
        if let (Cursor::After(ids), 400 | 404 | 410) = (&mut cursor, head.status())
            && ids.len() > 1
        {
            // The last element was deleted meanwhile: all that follows the one before it follows it too.
            ids.pop();
            continue;
        }
        if !matches!(head.status(), 200 | 203) {
            return Begun::Answer(Box::new(Declined { head, far: wire }));
        }
        let mut source = Source::new(to.site.clone(), head, wire, ask, cursor, within);
        if scoped.request.method() == "HEAD" {
            source.ended = true;
            return Begun::List(Box::new(source));
        }
        if source.head.first("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
            return Begun::Failed(failed("broken", format!("{}'s list is compressed, unasked", to.site)));
        }
        return match timeout(within, source.fill(ask)).await {
            Ok(Ok(())) => Begun::List(Box::new(source)),
            Ok(Err(failed)) => Begun::Failed(failed),
            Err(_) => Begun::Failed(late()),
        };
    }
}

fn failed(outcome: &'static str, detail: String) -> Failed {
    Failed { outcome, detail }
}

async fn asked(
    shared: &Shared,
    scoped: &Scoped<'_>,
    ask: &Ask,
    to: &Destination,
    cursor: &Cursor,
) -> Result<(AnswerHead, Wire<Far>), Failed> {
    let head = ask.head(scoped.request, scoped.plan, to, cursor);
    let head = head.map_err(|error| failed("broken", format!("{}: {error}", to.site)))?;
    let far = Box::pin(forward::open(shared, scoped, to, false)).await;
    let mut wire = Wire::new(far.map_err(|refusal| failed(outcome(refusal.code), refusal.detail))?);
    let config = shared.config.load_full();
    let bounds = Bounds::new(&config.limits, &config.timeouts);
    match asked::head(&mut wire, head, scoped.request.method(), &bounds).await {
        Ok(head) => Ok((head, wire)),
        Err(detail) => match asked::last_word(&mut wire).await {
            Some(failure) => Err(failed(outcome(failure.code()), failure.to_string())),
            None => Err(failed("broken", format!("{}: {detail}", to.site))),
        },
    }
}

fn outcome(code: Code) -> &'static str {
    match code {
        Code::PeerUnreachable | Code::ServiceUnreachable => "unreachable",
        Code::Timeout => "timeout",
        Code::BadAnswer | Code::OutcomeUnknown => "broken",
        _ => "refused",
    }
}

impl Source {
    fn new(site: SiteName, head: AnswerHead, wire: Wire<Far>, ask: &Ask, cursor: Cursor, within: Duration) -> Self {
        let path = ask.list.elements.as_ref().map(|pointer| super::segments(pointer.get_ref()));
        Self {
            site,
            body: Body::new(head.length()),
            head,
            members: Vec::new(),
            splitter: Splitter::new(path, SIZES),
            wire,
            ended: false,
            queue: VecDeque::new(),
            queued: 0,
            came: 0,
            total: 0,
            count: 0,
            taken: VecDeque::new(),
            left: false,
            cursor,
            within,
        }
    }

    /// Reads until enough is there, or all.
    async fn fill(&mut self, ask: &Ask) -> Result<(), Failed> {
        while !self.ended && self.queued < WINDOW {
            self.read(ask).await?;
        }
        Ok(())
    }

    /// Whether there is another element; it is first in the queue then.
    pub(super) async fn peek(&mut self, ask: &Ask) -> Result<bool, Failed> {
        while self.queue.is_empty() && !self.ended {
            let within = self.within;
            timeout(within, self.read(ask)).await.map_err(|_| {
                failed("timeout", format!("{}'s list stood still for {} s", self.site, within.as_secs()))
            })??;
        }
        Ok(!self.queue.is_empty())
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        self.queue.front()
    }

    pub(super) fn take(&mut self) -> Option<Bytes> {
        let entry = self.queue.pop_front()?;
        self.queued -= entry.bytes.len();
        self.count += 1;
        self.taken.push_back(entry.bytes.clone());
        if self.taken.len() > TRAIL {
            self.taken.pop_front();
        }
        Some(entry.bytes)
    }

    pub(super) fn has_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Reads to the end for what stands behind the list.
    pub(super) async fn drain(&mut self, ask: &Ask) -> Result<(), Failed> {
        while self.peek(ask).await? {
            self.left = true;
            if let Some(entry) = self.queue.pop_front() {
                self.queued -= entry.bytes.len();
            }
        }
        Ok(())
    }

    /// Where it goes on although the rest of it can't be had now.
    pub(super) fn broken_at(mut self, ask: &Ask) -> Cursor {
        self.left = true;
        self.place(ask).unwrap_or(self.cursor)
    }

    async fn read(&mut self, ask: &Ask) -> Result<(), Failed> {
        if self.wire.pending.is_empty() && !self.body.is_done() && !self.wire.ended() {
            let read = self.wire.fill().await;
            read.map_err(|error| self.broken(&error.to_string()))?;
        }
        let mut parts = Vec::new();
        let mut split = Ok(());
        let splitter = &mut self.splitter;
        let used = self.body.read(&self.wire.pending, &mut |content| {
            if split.is_ok() {
                split = splitter.push(content, &mut parts);
            }
        });
        let used = used.map_err(|error| self.broken(&error.to_string()))?;
        split.map_err(|error: SplitError| self.broken(&error.to_string()))?;
        self.wire.pending.advance(used);
        self.total += used as u64;
        if self.total > MAX_LIST {
            return Err(self.broken("it is too long"));
        }
        for part in parts {
            self.keep(part, ask)?;
        }
        if self.body.is_done() || (self.wire.ended() && self.body.ends_with_close()) {
            self.splitter.finish().map_err(|error| self.broken(&error.to_string()))?;
            self.ended = true;
        } else if self.wire.ended() {
            return Err(self.broken("the connection was closed within it"));
        }
        Ok(())
    }

    fn keep(&mut self, part: Part, ask: &Ask) -> Result<(), Failed> {
        match part {
            Part::Member(member) => self.members.push(member),
            Part::Element(bytes) => {
                self.came += 1;
                if matches!(self.cursor, Cursor::Within(_, before) if self.came <= before) {
                    return Ok(());
                }
                let keys = if ask.order.is_empty() {
                    Vec::new()
                } else {
                    let value = serde_json::from_slice(&bytes).map_err(|error| self.broken(&error.to_string()))?;
                    order::keys(&value, &ask.order)
                };
                self.queued += bytes.len();
                self.queue.push_back(Entry { bytes, keys });
            }
        }
        Ok(())
    }

    fn broken(&self, why: &str) -> Failed {
        failed("broken", format!("{}'s list: {why}", self.site))
    }

    /// The value of a field around the list.
    pub(super) fn field(&self, pointer: &str) -> Option<Value> {
        let wanted = super::segments(pointer);
        let (level, key, rest) = super::place(&wanted, self.splitter.path())?;
        let member = self.members.iter().find(|member| member.level == level && member.key == *key)?;
        let value: Value = serde_json::from_slice(&member.value).ok()?;
        super::get(&value, rest).cloned()
    }

    /// What tells that there is another page, and where.
    pub(super) fn link(&self, ask: &Ask) -> Option<String> {
        if let Some(name) = ask.list.header() {
            if ask.list.next_header.is_some() && name.eq_ignore_ascii_case("link") {
                return link::next(&self.head);
            }
            let value = std::str::from_utf8(self.head.first(name)?).ok()?;
            return Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        }
        let pointer = ask.list.token.as_ref().or(ask.list.next.as_ref())?;
        let link = self.field(pointer.get_ref())?;
        link.as_str().filter(|link| !link.is_empty()).map(str::to_owned)
    }

    /// Whether the site has more than this page, once all of it was read.
    pub(super) fn has_more(&self, ask: &Ask) -> bool {
        let told = ask.list.token.is_some() || ask.list.next.is_some() || ask.list.header().is_some();
        match ask.paging {
            Paging::None => false,
            _ if told => self.link(ask).is_some(),
            _ => self.came > 0 && ask.limit.is_some_and(|limit| self.came >= limit),
        }
    }

    /// First those of the document, then those of the head.
    pub(super) fn totals(&self, ask: &Ask) -> Vec<Option<i64>> {
        let inside = ask.list.totals.iter().map(|pointer| self.field(pointer.get_ref())?.as_i64());
        let head = |name: &str| std::str::from_utf8(self.head.first(name)?).ok()?.trim().parse().ok();
        inside.chain(ask.list.total_headers.iter().map(|name| head(name.get_ref()))).collect()
    }

    /// Where the next page begins here; None when an element has no id to go on behind.
    pub(super) fn place(&self, ask: &Ask) -> Option<Cursor> {
        let untaken = self.left || !self.queue.is_empty() || !self.ended;
        match ask.paging {
            _ if !untaken && !self.has_more(ask) => Some(Cursor::Done(self.totals(ask))),
            Paging::Id if self.has_taken() => Some(Cursor::After(self.trail(ask)?)),
            Paging::Token if !untaken => self.link(ask).map(Cursor::At),
            Paging::Link if !untaken => query(&self.link(ask)?).map(Cursor::At),
            Paging::Token | Paging::Link if self.has_taken() => Some(match &self.cursor {
                Cursor::At(page) => Cursor::Within(Some(page.clone()), self.count),
                Cursor::Within(page, before) => Cursor::Within(page.clone(), before + self.count),
                _ => Cursor::Within(None, self.count),
            }),
            _ => Some(self.cursor.clone()),
        }
    }

    /// The ids of the last elements that were taken, here or on pages before.
    fn trail(&self, ask: &Ask) -> Option<Vec<String>> {
        let id = |bytes: &Bytes| id(bytes, ask);
        let before = if let Cursor::After(ids) = &self.cursor { ids.as_slice() } else { &[] };
        let mut ids = before.to_vec();
        ids.extend(self.taken.iter().map(id).collect::<Option<Vec<_>>>()?);
        ids.drain(..ids.len().saturating_sub(TRAIL));
        Some(ids)
    }
}
