//! What agents keep of sites and services: records of every kind and version, the copy on the disk, what is published,
//! learned, and refused.

#[path = "records/cluster.rs"]
mod cluster;
#[path = "records/disk.rs"]
mod disk;
#[path = "records/kinds.rs"]
mod kinds;
#[path = "records/round_trips.rs"]
mod round_trips;

use std::time::Duration;

use cheops_tests::lab::Agent;
use serde_json::Value;

/// Nothing takes longer, however busy the machine.
const SOON: Duration = Duration::from_secs(30);

/// The section `metadata` of the agent's status.
fn metadata(agent: &Agent) -> anyhow::Result<Value> {
    Ok(agent.admin("/v1/status")?.json()?["metadata"].clone())
}

/// What `check` finds under a name, other than that all is well.
fn findings(agent: &Agent, name: &str) -> anyhow::Result<Vec<Value>> {
    let checks = agent.admin("/v1/check")?.json()?["checks"].clone();
    let all = checks.as_array().into_iter().flatten();
    Ok(all.filter(|check| check["name"] == name && check["grade"] != "ok").cloned().collect())
}
