//! How the copy stands: for `status`, `check` and the metrics.

use std::time::{Duration, Instant};

use super::disk::DiskError;
use super::view::Seen;
use super::{Inner, Store};
use crate::metadata::record::{self, Millis};

/// A backend that was silent for longer is not connected.
const SILENT: Duration = Duration::from_secs(30);

/// The way to the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// There is one, to this endpoint.
    Up { endpoint: String },
    /// There is none.
    Down { why: String, since: Instant },
}

impl Default for Link {
    fn default() -> Self {
        Self::Down { why: "no endpoint was reached yet".to_owned(), since: Instant::now() }
    }
}

/// The cluster's history did not go on: it was wiped or restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    pub was: Seen,
    pub is: Seen,
    /// When this agent saw it.
    pub at: Millis,
}

impl Lost {
    /// Whether revisions of before and after can be compared at all.
    pub(super) fn same_cluster(self) -> bool {
        self.was.cluster == self.is.cluster
    }
}

/// How the copy stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub embedded: bool,
    /// Without meaning where it is embedded.
    pub link: Link,
    /// Since the backend last gave a sign of life, also before a restart; `None` if it never did, or where it is embedded.
    pub age: Option<Duration>,
    /// Whether everything was seen once. If not, what is absent is not known.
    pub complete: bool,
    pub seen: Option<Seen>,
    pub records: usize,
    /// Records of an earlier history of the cluster that nobody wrote again yet.
    pub stale: usize,
    pub lost: Option<Lost>,
    /// Writes that wait.
    pub pending: usize,
    /// Those of them that the backend refuses: the record's key, and why.
    pub denied: Vec<(String, String)>,
    /// Records that the backend has and that are too much: those that are named are among the refused.
    pub left_out: u64,
    /// How often the backend was reached anew.
    pub connects: u64,
    /// Records that aren't believed or understood.
    pub refused: usize,
    /// Why the copy doesn't outlive this agent.
    pub trouble: Option<DiskError>,
}

impl Facts {
    /// Whether writes can be kept now.
    pub fn up(&self) -> bool {
        self.embedded || matches!(self.link, Link::Up { .. }) && self.age.is_some_and(|age| age < SILENT)
    }
}

impl Inner {
    fn denied(&self) -> impl Iterator<Item = (String, String)> {
        self.pending.iter().filter_map(|one| Some((one.write.key().to_string(), self.denied.get(&one.id)?.clone())))
    }
}

impl Store {
    /// The backend is reached there.
    pub fn up(&self, endpoint: &str) {
        let mut inner = self.inner();
        inner.link = Link::Up { endpoint: endpoint.to_owned() };
        inner.connects += 1;
    }

    /// The backend is not reached any more.
    pub fn down(&self, why: &str) {
        let mut inner = self.inner();
        let since = match inner.link {
            Link::Down { since, .. } => since,
            Link::Up { .. } => Instant::now(),
        };
        inner.link = Link::Down { why: why.to_owned(), since };
    }

    /// How it stands now.
    pub fn facts(&self) -> Facts {
        let inner = self.inner();
        let view = self.view();
        let before = inner.contact.map(|contact| Duration::from_millis(record::now().saturating_sub(contact)));
        Facts {
            embedded: self.alone,
            link: inner.link.clone(),
            age: inner.heard.map(|heard| heard.elapsed()).or(before),
            complete: view.complete,
            seen: view.seen,
            records: view.records.len(),
            stale: view.records.values().filter(|kept| kept.stale).count(),
            lost: inner.lost,
            pending: inner.pending.len(),
            denied: inner.denied().collect(),
            left_out: inner.excess(),
            connects: inner.connects,
            refused: view.refused.len(),
            trouble: inner.file.trouble(),
        }
    }
}
