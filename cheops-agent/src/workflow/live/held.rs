//! Ids that are held live, and what is told of their workflow meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Keep, Workflows};
use crate::names::{ServiceName, SiteName};
use crate::workflow::links::Link;
use crate::workflow::record::Inherited;
use crate::workflow::story::{Came, Failure, Story};

/// Keeps a request's ids live.
#[derive(Debug)]
pub struct Held {
    pub(super) workflows: Arc<Workflows>,
    pub(super) links: Vec<Arc<Link>>,
    pub(super) scope: Arc<Inherited>,
    pub(super) keep: Keep,
}

impl Held {
    /// Says where the workflow's calls of a service go from now on; None: it is open again. Whether it was open.
    pub fn place(&self, service: &ServiceName, site: Option<&SiteName>) -> bool {
        self.workflows.with(|kept| {
            let was_open = kept.table.place(&self.links, &self.scope, service, site);
            kept.write(&self.links, &self.scope);
            was_open
        })
    }

    /// The request was a call within a workflow, and this came of it.
    pub fn called(&self, service: &ServiceName, site: &SiteName, came: Came) {
        if let Some(story) = self.story() {
            story.called(service, site, Some(came), false);
        }
    }

    /// The last call in the workflow since then that had no answer.
    pub fn failed(&self, since: Instant) -> Option<(ServiceName, Failure)> {
        self.story()?.failed(since)
    }

    fn story(&self) -> Option<Arc<Story>> {
        self.workflows.with(|kept| {
            let mut records = self.links.iter().flat_map(|link| kept.table.of(link));
            records.find(|record| Arc::ptr_eq(&record.scope, &self.scope)).map(|record| record.story.clone())
        })
    }

    /// The request is not sent: nothing will be called for it.
    pub fn forget(mut self) {
        self.keep.after = Duration::ZERO;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let now = Instant::now();
        self.workflows.with(|kept| {
            kept.table.release(&self.links, &self.scope, |brief| self.keep.after(now, brief));
            kept.write(&self.links, &self.scope);
        });
    }
}
