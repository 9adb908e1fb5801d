//! What is known of the world at the moment of a decision.

use crate::config::ScopeCarriers;
use crate::metadata::record::Standing;
use crate::metadata::{Distances, Snapshot};
use crate::names::SiteName;
use crate::profile::Profiles;

/// What a decision may look at besides the request.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    pub snapshot: &'a Snapshot,
    /// As they are known at this moment.
    pub distances: &'a Distances,
    pub profiles: &'a Profiles,
    pub carriers: &'a ScopeCarriers,
    /// This agent's site.
    pub here: &'a SiteName,
}

impl World<'_> {
    /// How the site takes part: by its record, and by what its agents say. The strictest counts, so that an order to spare
    /// a site holds as soon as anybody knows of it.
    pub(super) fn standing(&self, site: &SiteName) -> Standing {
        let recorded = self.snapshot.sites.get(site).map(|site| site.standing).unwrap_or_default();
        if site == self.here { recorded } else { recorded.max(self.distances.standing(site)) }
    }
}
