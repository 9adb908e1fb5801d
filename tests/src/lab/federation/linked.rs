//! Whether agents have reached each other.

use std::time::Duration;

use anyhow::ensure;

use super::Federation;
use crate::lab::eventually;

/// How long it may take, however busy the machine.
const REACHED: Duration = Duration::from_secs(30);

impl Federation {
    /// Waits until each site's agent has an answer of each other's. One that was asked before it ran is only asked again
    /// by a probe, and requests for it are refused until then.
    pub fn linked(self) -> anyhow::Result<Self> {
        for member in &self.members {
            let up = || {
                let agent = member.agent.as_ref()?;
                let sites = agent.admin("/v1/sites").ok()?.json().ok()?;
                let mut others = sites["sites"].as_array()?.iter().filter(|site| site["own"] == false);
                Some(others.all(|site| site["state"] == "up"))
            };
            let reached = eventually(REACHED, || up().unwrap_or_default());
            ensure!(reached, "{} doesn't reach every other site", member.host.site());
        }
        Ok(self)
    }
}
