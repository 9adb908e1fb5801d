//! The service that a connection's requests address, for those who count: looked up once, and again when what is known
//! of the world has changed.

use std::sync::{Arc, Weak};

use super::Connection;
use crate::metadata::Snapshot;
use crate::names::SiteName;
use crate::observe::Counts;
use crate::plan::target;

/// An endpoint that was addressed.
pub(super) struct Addressed {
    /// The service, by its counters.
    pub(super) counts: Arc<Counts>,
    /// The site whose endpoint it is.
    pub(super) site: Option<SiteName>,
    /// Whether the service issues credentials.
    pub(super) issues: bool,
}

/// What the last request of a connection addressed.
pub(super) struct Known {
    of: Weak<Snapshot>,
    /// Whatever path is asked for leads there.
    whole: bool,
    addressed: Arc<Addressed>,
}

impl Connection {
    /// What a request with this target addresses.
    pub(super) fn addressed(&mut self, target: &str) -> Arc<Addressed> {
        let snapshot = self.shared.snapshot.load();
        if let Some(known) = &self.known
            && known.whole
            && target.starts_with('/')
            && known.of.as_ptr() == Arc::as_ptr(&snapshot)
        {
            return known.addressed.clone();
        }
        let found = target::addressed(&snapshot, self.taken.orig, target).ok();
        let (service, site, issues) = match &found {
            None => ("-", None, false),
            Some(found) => {
                let profiles = self.shared.profiles.load();
                let profile = profiles.get_or_default(&found.service.profile);
                let issues = profile.issues(found.service.kind.as_deref());
                (found.service.name.as_str(), Some(found.site), issues)
            }
        };
        let mut here = snapshot.at(self.taken.orig.get());
        let whole = found.as_ref().is_some_and(|found| found.endpoint.prefix.is_empty()) && here.nth(1).is_none();
        let addressed = match &self.known {
            Some(known) if known.addressed.is(service, site, issues) => known.addressed.clone(),
            _ => Arc::new(Addressed { counts: self.shared.observer.counts(service), site: site.cloned(), issues }),
        };
        self.known = Some(Known { of: Arc::downgrade(&snapshot), whole, addressed: addressed.clone() });
        addressed
    }

    /// The first service at the address to which the client connected, when nothing else is known.
    pub(super) fn first_at_address(&self) -> Arc<Addressed> {
        let snapshot = self.shared.snapshot.load();
        let mut here = snapshot.at(self.taken.orig.get());
        let service = here.next().map_or("-", |found| found.service.name.as_str());
        Arc::new(Addressed { counts: self.shared.observer.counts(service), site: None, issues: false })
    }
}

impl Addressed {
    fn is(&self, service: &str, site: Option<&SiteName>, issues: bool) -> bool {
        self.counts.service() == service && self.site.as_ref() == site && self.issues == issues
    }
}
