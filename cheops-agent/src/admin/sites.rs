//! `/v1/sites`: the sites that are known, and how they stand; `/v1/map`: how far they are from one another.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;

use super::hosts::{self, Certificate, HostLine};
use super::{Agent, document, rotation};
use crate::membership::Progress;
use crate::metadata::latency::Between;
use crate::metadata::record::Standing;
use crate::metadata::{Distances, Site};
use crate::names::{HostName, SiteName};
use crate::peer::{PeerState, PeerStatus};

#[derive(Serialize)]
struct Sites {
    sites: Vec<SiteLine>,
}

/// One site. What is absent is unknown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SiteLine {
    name: SiteName,
    own: bool,
    /// `here`, `up`, `suspect`, `down`, `unknown`.
    state: &'static str,
    /// `active`, `cordoned`, `drained`: whether it may be chosen, and something new be created there.
    standing: Standing,
    /// The usual round trip.
    rtt_ms: Option<f64>,
    /// The least one of the last seconds: what `around` counts.
    rtt_min_ms: Option<f64>,
    /// Where nobody measured it: what it probably is, and by how much that is usually wrong.
    estimated_ms: Option<f64>,
    estimated_error_ms: Option<f64>,
    jitter_ms: Option<f64>,
    /// The part of the probes without an answer, and by direction: 0 to 1.
    loss: Option<f64>,
    loss_out: Option<f64>,
    loss_in: Option<f64>,
    /// Since it last answered.
    age_seconds: Option<f64>,
    /// Since its own probes last came here.
    heard_seconds: Option<f64>,
    /// It isn't probed from here: how old the word is by which its state is known.
    hearsay_seconds: Option<f64>,
    version: Option<String>,
    peers: Vec<String>,
    hosts: Vec<HostName>,
    agents: Vec<HostLine>,
    /// The certificate of its hosts that ends first.
    certificate: Option<Certificate>,
    /// Whether its hosts follow while the federation's authority is replaced, or what they lack.
    authority: Option<String>,
    /// Why it doesn't answer.
    trouble: Option<String>,
    /// What works in one direction only.
    one_way: Option<&'static str>,
    /// What waits for it; of the own site, what it has to tell the metadata cluster.
    queue: u64,
}

pub async fn get(State(agent): State<Arc<Agent>>) -> impl IntoResponse {
    document("Sites", Sites { sites: lines(&agent) })
}

/// One line for each site.
pub fn lines(agent: &Agent) -> Vec<SiteLine> {
    let rotation = rotation::going_on(agent);
    agent.snapshot().sites.values().map(|site| line(agent, site, rotation.as_ref())).collect()
}

fn line(agent: &Agent, site: &Site, rotation: Option<&Progress>) -> SiteLine {
    let known = match &agent.peers {
        Some(peers) if !site.own => peers.liveness.site(&site.name),
        _ => PeerStatus::default(),
    };
    let distances = agent.shared.liveness.distances();
    let estimate = match distances.between(&agent.config().site, &site.name) {
        Some(Between::Estimated(estimate, _)) if !site.own => Some(estimate),
        _ => None,
    };
    let version = if site.own { Some(env!("CARGO_PKG_VERSION").to_owned()) } else { known.version.clone() };
    let agents = hosts::of(agent, site);
    let first = agents.iter().filter_map(|host| host.certificate.as_ref()).min_by_key(|one| one.expires);
    SiteLine {
        name: site.name.clone(),
        certificate: first.cloned(),
        authority: rotation.map(|progress| rotation::of_site(progress, &site.name)),
        own: site.own,
        state: if site.own { "here" } else { word(known.state) },
        standing: standing(agent, site),
        rtt_ms: known.rtt.map(ms),
        rtt_min_ms: known.rtt_min.map(ms),
        estimated_ms: estimate.map(|estimate| ms(estimate.rtt)),
        estimated_error_ms: estimate.map(|estimate| ms(estimate.error)),
        jitter_ms: known.jitter.map(ms),
        loss: known.loss,
        loss_out: known.loss_out,
        loss_in: known.loss_in,
        age_seconds: known.age.map(|age| age.as_secs_f64()),
        heard_seconds: known.heard.map(|heard| heard.as_secs_f64()),
        hearsay_seconds: known.hearsay.map(|age| age.as_secs_f64()),
        version,
        peers: site.peers.clone(),
        hosts: agents.iter().map(|host| host.name.clone()).collect(),
        agents,
        one_way: known.one_way(),
        trouble: known.trouble,
        queue: if site.own { agent.metadata.pending().len() as u64 } else { 0 },
    }
}

/// By its record, and by what its agents say; see [`crate::plan`], which goes by the same.
fn standing(agent: &Agent, site: &Site) -> Standing {
    match site.own {
        true => site.standing,
        false => site.standing.max(agent.shared.liveness.distances().standing(&site.name)),
    }
}
/// Among so many sites all pairs are estimated that nobody measured; among more, only the own site's.
const ALL_ESTIMATES: usize = 32;

/// The distances between all sites.
#[derive(Serialize)]
struct Map {
    here: SiteName,
    sites: Vec<Placed>,
    distances: Vec<Distance>,
    /// Where nobody measured it.
    estimates: Vec<Estimated>,
}

#[derive(Serialize)]
struct Placed {
    name: SiteName,
    state: &'static str,
}

/// What one site measured of another.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Distance {
    from: SiteName,
    to: SiteName,
    rtt_ms: f64,
    usual_ms: f64,
    age_seconds: f64,
    /// How `to` stands, as `from` sees it.
    state: &'static str,
    /// Whether `from` hears probes of `to`.
    hears: bool,
}

/// How far one site probably is from another.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Estimated {
    from: SiteName,
    to: SiteName,
    rtt_ms: f64,
    /// By how much that is usually wrong.
    error_ms: f64,
    /// Since the sites said where they lie.
    age_seconds: f64,
    /// How `to` stands.
    state: &'static str,
}

pub async fn map(State(agent): State<Arc<Agent>>) -> impl IntoResponse {
    let (snapshot, known) = (agent.snapshot(), agent.shared.liveness.distances());
    let sites = snapshot.sites.values().map(|site| Placed {
        name: site.name.clone(),
        state: if site.own { "here" } else { word(known.state(&site.name)) },
    });
    let of = |from: &SiteName| {
        let distances = known.measured_by(from).map(|(to, measured)| Distance {
            from: from.clone(),
            to: to.clone(),
            rtt_ms: ms(measured.rtt),
            usual_ms: ms(measured.usual),
            age_seconds: measured.age.as_secs_f64(),
            state: word(measured.state),
            hears: measured.hears,
        });
        distances.collect::<Vec<_>>()
    };
    let distances = snapshot.sites.keys().flat_map(of).collect();
    let here = &agent.config().site;
    let all = snapshot.sites.len() <= ALL_ESTIMATES;
    let from = snapshot.sites.keys().filter(|from| all || *from == here);
    let pairs = from.flat_map(|from| snapshot.sites.keys().map(move |to| (from, to))).filter(|(from, to)| from != to);
    let estimates = pairs.filter_map(|(from, to)| estimated(from, to, &known)).collect();
    document("Map", Map { here: here.clone(), sites: sites.collect(), distances, estimates })
}

fn estimated(from: &SiteName, to: &SiteName, known: &Distances) -> Option<Estimated> {
    let Some(Between::Estimated(estimate, age)) = known.between(from, to) else { return None };
    Some(Estimated {
        from: from.clone(),
        to: to.clone(),
        rtt_ms: ms(estimate.rtt),
        error_ms: ms(estimate.error),
        age_seconds: age.as_secs_f64(),
        state: word(known.state(to)),
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn word(state: PeerState) -> &'static str {
    match state {
        PeerState::Unknown => "unknown",
        PeerState::Alive => "up",
        PeerState::Suspect => "suspect",
        PeerState::Dead => "down",
    }
}
