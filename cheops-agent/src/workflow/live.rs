//! The live ids of one agent, as its connections share them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::counters::Counters;
use super::links::{Link, Links};
use super::table::{Found, Inherited, Maker, Table, WorkflowError};
use crate::names::{ServiceName, SiteName};

/// How long and how many.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Records at most.
    pub records: usize,
    /// How long a record lives after its request's answer, and after each call's that it was linked to.
    pub after: Duration,
}

/// As [`Keep::after`], at most, where the request only read: what goes on behind its answer are leftovers of what it
/// began before, and clients that look at something every second would else fill the table.
const AFTER_READ: Duration = Duration::from_secs(60);

/// All live ids of one agent.
#[derive(Debug, Default)]
pub struct Workflows {
    /// How many records there are; lets a request without scope pass at the price of one load.
    records: AtomicUsize,
    table: Mutex<Table>,
    counters: Counters,
}

impl Workflows {
    /// Whether there is nothing that a request could be linked to.
    pub fn is_empty(&self) -> bool {
        self.records.load(Ordering::Acquire) == 0
    }

    /// The scope that a request inherits by its ids.
    ///
    /// # Errors
    /// When there are several.
    pub fn find(&self, links: &Links) -> Result<Option<Found>, WorkflowError> {
        let found = self.with(|table| table.find(links, Instant::now())).map_err(|error| self.counted(error))?;
        match &found {
            Some(found) => self.counters.count_linked(found.kind),
            // The last record may just have ended.
            None if self.is_empty() => {}
            None => self.counters.count_unlinked(),
        }
        Ok(found)
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
        let held = self.with(|table| table.hold(links, maker, keep.records, Instant::now()));
        let (links, scope) = held.map_err(|error| self.counted(error))?;
        Ok(Some(Held { workflows: self.clone(), links, scope, after: keep.after }))
    }

    /// The records that are live now.
    pub fn live(&self) -> usize {
        self.with(|table| {
            table.sweep(Instant::now());
            table.len()
        })
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

    fn with<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut table);
        self.records.store(table.len(), Ordering::Release);
        done
    }
}

/// Keeps a request's ids live.
#[derive(Debug)]
pub struct Held {
    workflows: Arc<Workflows>,
    links: Vec<Arc<Link>>,
    scope: Arc<Inherited>,
    after: Duration,
}

impl Held {
    /// Says where the workflow's calls of a service go from now on; None: it is open again. Whether it was open.
    pub fn place(&self, service: &ServiceName, site: Option<&SiteName>) -> bool {
        self.workflows.with(|table| table.place(&self.links, &self.scope, service, site))
    }

    /// The request is not sent: nothing will be called for it.
    pub fn forget(mut self) {
        self.after = Duration::ZERO;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let now = Instant::now();
        let after = |brief| now + if brief { self.after.min(AFTER_READ) } else { self.after };
        self.workflows.with(|table| table.release(&self.links, &self.scope, after));
    }
}
