//! `/v1/status`: how the agent stands, in one document.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;

use super::certificate::{self, Certificate};
use super::earlier::{self, Earlier};
use super::life::Part;
use super::metadata::{self, Metadata};
use super::sites::{self, SiteLine};
use super::{Agent, Phase, document, hosts, outlook, rotation};
use crate::config::InterceptMode;
use crate::metadata::outlook::Outlook;
use crate::names::{HostName, SiteName};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Status {
    site: SiteName,
    host: HostName,
    version: &'static str,
    pid: u32,
    uptime_seconds: f64,
    /// `ready`, `not-ready`, `draining`.
    state: &'static str,
    ready: bool,
    /// What it waits for.
    waiting: Vec<String>,
    /// Until the drain's deadline.
    drain_seconds: Option<f64>,
    capture: Capture,
    metadata: Metadata,
    /// Absent where agents talk without.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate>,
    /// How far the replacement of the federation's authority is; absent while nothing is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation: Option<crate::membership::Progress>,
    /// Absent without `[peer]`.
    membership: Option<crate::membership::Standing>,
    connections: Connections,
    workflows: Workflows,
    /// Agents that have handed on to this one and finish what they had.
    earlier: Vec<Earlier>,
    sites: Vec<SiteLine>,
    /// What would happen if a site went.
    outlook: Outlook,
    /// What somebody should look at.
    warnings: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Capture {
    /// `attached`, `detached`, `off`.
    state: &'static str,
    guarded: usize,
    /// `ok`, `failed`, `never`, `off`.
    probe: &'static str,
    probe_age_seconds: Option<f64>,
    trouble: Option<String>,
    /// What is loaded, and where it is attached.
    kernel: serde_json::Value,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Connections {
    open: u64,
    tunnels: u64,
    taken: u64,
    limit: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Workflows {
    /// Ids of scoped requests by which calls are found now.
    records: usize,
    limit: usize,
}

pub async fn get(State(agent): State<Arc<Agent>>) -> impl IntoResponse {
    let config = agent.config();
    let waiting = agent.life.waiting();
    let (state, drain_seconds) = match agent.life.phase() {
        Phase::Draining { until } => ("draining", Some(until.saturating_duration_since(Instant::now()).as_secs_f64())),
        Phase::Running | Phase::HandingOver if waiting.is_empty() => ("ready", None),
        Phase::Running | Phase::HandingOver => ("not-ready", None),
    };
    let snapshot = agent.snapshot();
    let status = Status {
        site: config.site.clone(),
        host: config.host.clone(),
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        uptime_seconds: agent.started.elapsed().as_secs_f64(),
        state,
        ready: waiting.is_empty(),
        waiting,
        drain_seconds,
        capture: capture(&agent, config.intercept.mode),
        rotation: rotation::going_on(&agent),
        membership: agent.membership.as_ref().map(|membership| membership.standing()),
        metadata: metadata::section(&agent, &snapshot),
        certificate: certificate::of(&agent),
        connections: Connections {
            open: agent.observer.connections_open(),
            tunnels: agent.observer.tunnels_open(),
            taken: agent.observer.connections_taken(),
            limit: config.limits.connections,
        },
        workflows: Workflows { records: agent.shared.workflows.live(), limit: config.limits.workflow_records },
        earlier: earlier::all(&config.run_dir),
        sites: sites::lines(&agent),
        outlook: outlook::of(&agent, agent.metadata.cluster().as_deref()),
        warnings: warnings(&agent),
    };
    document("Status", status)
}

fn warnings(agent: &Agent) -> Vec<String> {
    let certificates = hosts::warnings(agent).into_iter();
    let certificates = certificates.map(|(site, host, told)| format!("the certificate of {host} at {site} {told}"));
    certificates.chain(rotation::trouble(agent)).collect()
}

fn capture(agent: &Agent, mode: InterceptMode) -> Capture {
    let attached = agent.life.part(Part::Attached);
    let known = agent.known();
    let probe = known.probe.as_ref();
    let trouble = probe.and_then(|probe| probe.trouble.clone());
    Capture {
        state: match mode {
            InterceptMode::Off => "off",
            InterceptMode::Ebpf if attached => "attached",
            InterceptMode::Ebpf => "detached",
        },
        guarded: known.guarded.len(),
        probe: match (mode, probe) {
            (InterceptMode::Off, _) => "off",
            (_, None) => "never",
            (_, Some(_)) if trouble.is_none() => "ok",
            (_, Some(_)) => "failed",
        },
        probe_age_seconds: probe.map(|probe| probe.at.elapsed().as_secs_f64()),
        trouble,
        kernel: (agent.kernel_facts)(),
    }
}
