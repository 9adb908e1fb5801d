//! `/v1/sites`: the sites that are known, and how they stand.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;

use super::{Agent, document};
use crate::metadata::Site;
use crate::names::{HostName, SiteName};
use crate::peer::{PeerState, PeerStatus};

#[derive(Serialize)]
struct Sites {
    sites: Vec<SiteLine>,
}

/// One site.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SiteLine {
    name: SiteName,
    own: bool,
    /// `here`, `up`, `suspect`, `down`, `unknown`.
    state: &'static str,
    /// The usual round trip.
    rtt_ms: Option<f64>,
    /// Since it last answered.
    age_seconds: Option<f64>,
    peers: Vec<String>,
    hosts: Vec<HostName>,
    /// Why it doesn't answer.
    trouble: Option<String>,
    /// Operations that wait for it.
    queue: u64,
}

pub async fn get(State(agent): State<Arc<Agent>>) -> impl IntoResponse {
    document("Sites", Sites { sites: lines(&agent) })
}

/// One line for each site.
pub fn lines(agent: &Agent) -> Vec<SiteLine> {
    agent.snapshot().sites.values().map(|site| line(agent, site)).collect()
}

fn line(agent: &Agent, site: &Site) -> SiteLine {
    let known = match &agent.peers {
        Some(peers) if !site.own => peers.liveness.site(&site.name),
        _ => PeerStatus::default(),
    };
    SiteLine {
        name: site.name.clone(),
        own: site.own,
        state: if site.own { "here" } else { word(known.state) },
        rtt_ms: known.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        age_seconds: known.age().map(|age| age.as_secs_f64()),
        peers: site.peers.clone(),
        hosts: site.hosts.iter().chain(&known.host).cloned().collect(),
        trouble: known.trouble,
        queue: 0,
    }
}

fn word(state: PeerState) -> &'static str {
    match state {
        PeerState::Unknown => "unknown",
        PeerState::Alive => "up",
        PeerState::Suspect => "suspect",
        PeerState::Dead => "down",
    }
}
