//! The live ids of one agent, as its connections share them.

mod held;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::counters::{Counters, Stayed};
use super::journal::Journal;
use super::line::Line;
use super::links::{Link, Links};
use super::record::{Found, Inherited, Maker, Record, Sole, WorkflowError};
use super::story::{Called, Story};
use super::table::Table;
use crate::config::Config;
use crate::metadata::record::now as wall_clock;
use crate::names::{ServiceName, SiteName};

pub use held::Held;

/// How long and how many.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Records at most.
    pub records: usize,
    /// How long a record lives after its request's answer, and after each call's that it was linked to.
    pub after: Duration,
}

impl Keep {
    /// As it is configured.
    pub fn of(config: &Config) -> Self {
        Self { records: config.limits.workflow_records, after: config.timeouts.workflow }
    }

    fn after(&self, now: Instant, brief: bool) -> Instant {
        now + if brief { self.after.min(AFTER_READ) } else { self.after }
    }
}

/// As [`Keep::after`], at most, where the request only read: what goes on behind its answer are leftovers of what it
/// began before, and clients that look at something every second would else fill the table.
const AFTER_READ: Duration = Duration::from_secs(60);

/// All live ids of one agent.
#[derive(Debug, Default)]
pub struct Workflows {
    /// How many records there are; lets a request without scope pass at the price of one load.
    records: AtomicUsize,
    /// Another process of this agent serves, too: what isn't known here may be known there.
    beside: AtomicBool,
    kept: Mutex<Kept>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Kept {
    table: Table,
    journal: Option<Journal>,
    /// Another process is taking over.
    handing_over: bool,
}

/// What a request is linked to.
#[derive(Clone, Debug)]
pub struct Linked {
    pub found: Found,
    /// Whether it follows the scope; else it is somebody else's, and stays where it was made.
    pub follows: bool,
}

impl Linked {
    /// A request with this credential to what was found by its ids.
    pub fn of(found: Found, credential: Option<&[u8]>) -> Self {
        Self { follows: found.is_of(credential), found }
    }
}

/// A live workflow, as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Credentials are none.
    pub links: Vec<Link>,
    pub scope: Arc<Inherited>,
    pub story: Arc<Story>,
    pub placed: Vec<(ServiceName, SiteName)>,
    pub open: usize,
    /// None while a request is open.
    pub left: Option<Duration>,
    pub calls: Vec<Called>,
}

impl Workflows {
    /// Whether there is nothing that a request could be linked to.
    pub fn is_empty(&self) -> bool {
        self.records.load(Ordering::Acquire) == 0 && !self.beside.load(Ordering::Acquire)
    }

    /// What a request with this credential inherits by its ids.
    ///
    /// # Errors
    /// When they stand for several scopes.
    pub fn find(&self, links: &Links, credential: Option<&[u8]>, keep: Keep) -> Result<Option<Linked>, WorkflowError> {
        let (found, several) = self.look(links, keep).map_err(|error| self.counted(error))?;
        let cause = found.map(|found| Linked::of(found, credential));
        match &cause {
            Some(Linked { found, follows: true }) => self.counters.count_linked(found.kind),
            Some(_) => self.counters.count_stayed(Stayed::OtherCaller),
            None if several => self.counters.count_stayed(Stayed::SeveralScopes),
            // The last record may just have ended.
            None if self.is_empty() => {}
            None => self.counters.count_unlinked(),
        }
        Ok(cause)
    }

    /// As [`find`](Self::find), uncounted, and whether a credential was the only link, and stood for several scopes.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn look(&self, links: &Links, keep: Keep) -> Result<(Option<Found>, bool), WorkflowError> {
        self.with(|kept| {
            let now = Instant::now();
            let mut found = kept.table.find(links, now)?;
            if found.is_none() && !links.is_empty() && self.beside.load(Ordering::Acquire) {
                kept.catch_up(keep, &self.beside);
                found = kept.table.find(links, now)?;
            }
            if found.is_some() {
                return Ok((found, false));
            }
            Ok(match kept.table.find_by_credential(links, now) {
                Sole::Nothing => (None, false),
                Sole::One(found) => (Some(found), false),
                Sole::Several => (None, true),
            })
        })
    }

    /// A call with another credential than its workflow's is made to a service, and stays at that site.
    pub fn stays(&self, found: &Found, service: &ServiceName, site: &SiteName, keep: Keep) {
        found.story.called(service, site, None, true);
        self.with(|kept| {
            let now = Instant::now();
            kept.table.touch(found, |brief| keep.after(now, brief));
            kept.write(std::slice::from_ref(&found.link), &found.scope);
        });
    }

    /// The mark of a credential: the one that the workflow of these ids has already, if it is that credential's.
    pub fn caller(&self, links: &Links, credential: &[u8], request: &str) -> Caller {
        let known = self.with(|kept| {
            let now = Instant::now();
            let records = links.iter().flat_map(|(_, link)| kept.table.of(link));
            let mut callers = records.filter(|record| record.is_live(now)).filter_map(|record| record.caller.as_ref());
            callers.find(|caller| caller.is(credential)).cloned()
        });
        known.unwrap_or_else(|| Caller::of(credential, request))
    }

    /// Makes the ids live until the guard goes and some time after; nothing without ids.
    ///
    /// # Errors
    /// The request must not be sent.
    pub fn hold(
        self: &Arc<Self>,
        links: Vec<Link>,
        maker: Maker<'_>,
        keep: Keep,
    ) -> Result<Option<Held>, WorkflowError> {
        if links.is_empty() {
            return Ok(None);
        }
        let held = self.with(|kept| {
            let held = kept.table.hold(links, maker, keep.records, (Instant::now(), wall_clock()))?;
            kept.write(&held.0, &held.1);
            Ok(held)
        });
        let (links, scope) = held.map_err(|error| self.counted(error))?;
        Ok(Some(Held { workflows: self.clone(), links, scope, keep }))
    }

    /// The records that are live now.
    pub fn live(&self) -> usize {
        self.with(|kept| {
            kept.table.sweep(Instant::now());
            kept.table.len()
        })
    }

    /// The workflows that are live now, the oldest first.
    pub fn list(&self) -> Vec<Shown> {
        let now = Instant::now();
        let mut shown: HashMap<*const Story, Shown> = HashMap::new();
        self.with(|kept| {
            for (link, record) in kept.table.all().filter(|(_, record)| record.is_live(now)) {
                let one = shown.entry(Arc::as_ptr(&record.story)).or_insert_with(|| Shown {
                    links: Vec::new(),
                    scope: record.scope.clone(),
                    story: record.story.clone(),
                    placed: record.placed.clone(),
                    open: 0,
                    left: Some(Duration::ZERO),
                    calls: record.story.calls(),
                });
                one.open = one.open.max(record.open);
                let left = record.until.saturating_duration_since(now);
                one.left = if one.open > 0 { None } else { one.left.map(|known| known.max(left)) };
                if !link.is_credential() {
                    one.links.push(Link::clone(link));
                }
            }
        });
        let mut shown: Vec<Shown> = shown.into_values().collect();
        shown.iter_mut().for_each(|one| one.links.sort_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value))));
        shown.sort_by(|a, b| (a.story.since, &a.story.request).cmp(&(b.story.since, &b.story.request)));
        shown
    }

    /// What is known of these ids, for another agent of the site.
    pub fn lines(&self, links: &[Link], most: usize) -> Vec<Line> {
        let (now, unix) = (Instant::now(), wall_clock());
        self.with(|kept| {
            let of = |link| kept.table.of(link).filter(|record| record.is_live(now)).map(move |record| (link, record));
            let known = links.iter().flat_map(of);
            known.take(most).map(|(link, record)| line(link, record, now, unix)).collect()
        })
    }

    /// Takes over what another agent of the site said of ids.
    pub fn adopt(&self, lines: &[Line], keep: Keep) {
        self.with(|kept| lines.iter().for_each(|line| kept.adopt(line, keep)));
    }

    /// Writes records down in that directory from now on, and takes over what is there.
    ///
    /// # Errors
    /// When the directory can't be made; then nothing is written.
    pub fn open(&self, directory: &Path, keep: Keep) -> io::Result<()> {
        let journal = Journal::open(directory)?;
        self.with(|kept| kept.journal = Some(journal));
        self.beside.store(true, Ordering::Release);
        self.tend(keep);
        self.hands_over(false);
        Ok(())
    }

    /// Another process of this agent takes over, or does not after all: what is unknown here is looked for there.
    pub fn hands_over(&self, to_another: bool) {
        self.with(|kept| {
            kept.handing_over = to_another;
            let others = kept.journal.as_ref().is_some_and(Journal::has_others);
            self.beside.store(to_another || others, Ordering::Release);
        });
    }

    /// To be called now and then.
    pub fn tend(&self, keep: Keep) {
        let beside = self.beside.load(Ordering::Acquire);
        self.with(|kept| {
            if beside {
                kept.catch_up(keep, &self.beside);
            }
            kept.write_anew_if_due();
        });
    }

    /// What became of calls.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn counted(&self, error: WorkflowError) -> WorkflowError {
        if let Some(reason) = error.counted() {
            self.counters.count_refused(reason);
        }
        error
    }

    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut kept);
        self.records.store(kept.table.len(), Ordering::Release);
        done
    }
}

fn line(link: &Link, record: &Record, now: Instant, unix: u64) -> Line {
    let left = record.until.saturating_duration_since(now);
    Line::of(link, record, unix.saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)))
}

impl Kept {
    /// Writes down how these ids stand now.
    fn write(&mut self, links: &[Arc<Link>], scope: &Arc<Inherited>) {
        let Some(journal) = &mut self.journal else { return };
        let (now, unix) = (Instant::now(), wall_clock());
        let table = &self.table;
        let of = |link| table.of(link).find(|record| Arc::ptr_eq(&record.scope, scope)).map(|record| (link, record));
        let lines: Vec<Line> =
            links.iter().filter_map(|link| of(&**link)).map(|(link, record)| line(link, record, now, unix)).collect();
        journal.append(&lines);
        if journal.is_due() {
            self.write_anew();
        }
    }

    fn write_anew_if_due(&mut self) {
        if self.journal.as_ref().is_some_and(Journal::is_due) {
            self.write_anew();
        }
    }

    fn write_anew(&mut self) {
        let (now, unix) = (Instant::now(), wall_clock());
        self.table.sweep(now);
        let Some(journal) = &mut self.journal else { return };
        let lines: Vec<Line> = self.table.all().map(|(link, record)| line(link, record, now, unix)).collect();
        journal.rewrite(&lines);
    }

    /// Reads what other processes of this agent have written, and takes over what those have left that are gone.
    fn catch_up(&mut self, keep: Keep, beside: &AtomicBool) {
        let Some(mut journal) = self.journal.take() else { return };
        let ended = journal.news(|line| self.adopt(line, keep));
        journal.still_open(|line| self.adopt(line, keep));
        let others = journal.has_others();
        self.journal = Some(journal);
        if ended.is_empty() {
            return;
        }
        self.write_anew();
        if let Some(journal) = &self.journal {
            journal.forget(&ended);
        }
        beside.store(others || self.handing_over, Ordering::Release);
    }

    fn adopt(&mut self, line: &Line, keep: Keep) {
        let now = Instant::now();
        let longest = keep.after(now, line.brief);
        let until = line.until.map(|until| now + Duration::from_millis(until.saturating_sub(wall_clock())));
        let until = until.map_or(longest, |until| until.min(longest));
        if until > now && !self.table.adopt(line, keep.records, now, until) {
            tracing::warn!(
                "an agent's ids of scoped requests can't be taken over: there is no room, or they can't be read"
            );
        }
    }
}

#[cfg(test)]
mod tests;
