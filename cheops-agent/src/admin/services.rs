//! `/v1/services`: the services that are known, and where they are.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;

use super::agent::Known;
use super::{Agent, document};
use crate::config::WhenAgentDown;
use crate::metadata::{Endpoint, Service, Snapshot};
use crate::names::{ServiceName, SiteName};

#[derive(Serialize)]
struct Services {
    services: Vec<ServiceLine>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ServiceLine {
    name: ServiceName,
    #[serde(rename = "type")]
    kind: Option<String>,
    profile: String,
    when_agent_down: &'static str,
    export: bool,
    endpoints: Vec<EndpointLine>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct EndpointLine {
    site: SiteName,
    url: String,
    addresses: Vec<SocketAddr>,
    /// Whether connections to all of its addresses are taken here.
    guarded: bool,
    /// Why not, or what is odd.
    note: Option<String>,
}

pub async fn get(State(agent): State<Arc<Agent>>) -> impl IntoResponse {
    let snapshot = agent.snapshot();
    let known = agent.known();
    let services = snapshot.services.iter().map(|service| line(service, &snapshot, &known)).collect();
    document("Services", Services { services })
}

fn line(service: &Service, snapshot: &Snapshot, known: &Known) -> ServiceLine {
    let endpoints = service.endpoints.iter().flat_map(|(site, endpoints)| {
        let own = snapshot.sites.get(site).is_some_and(|site| site.own);
        endpoints.iter().map(move |endpoint| endpoint_line(site, own, endpoint, known))
    });
    ServiceLine {
        name: service.name.clone(),
        kind: service.kind.clone(),
        profile: service.profile.clone(),
        when_agent_down: match service.when_agent_down {
            WhenAgentDown::Pass => "pass",
            WhenAgentDown::Refuse => "refuse",
        },
        export: service.export,
        endpoints: endpoints.collect(),
    }
}

fn endpoint_line(site: &SiteName, own: bool, endpoint: &Endpoint, known: &Known) -> EndpointLine {
    let guarded = |address: &SocketAddr| known.guarded.iter().any(|guard| guard.address == *address);
    let scheme = if endpoint.https { "https" } else { "http" };
    EndpointLine {
        site: site.clone(),
        url: format!("{scheme}://{}{}", endpoint.authority, endpoint.prefix),
        addresses: endpoint.addresses.clone(),
        guarded: !endpoint.addresses.is_empty() && endpoint.addresses.iter().all(guarded),
        note: note(own, endpoint, known),
    }
}

fn note(own: bool, endpoint: &Endpoint, known: &Known) -> Option<String> {
    if endpoint.addresses.is_empty() {
        return Some("its host name can't be resolved".into());
    }
    let silent = endpoint.addresses.iter().find_map(|address| Some((address, known.aliases.why_not(*address)?)));
    if let Some((address, why)) = silent {
        return Some(format!("{address} never accepted a connection ({why})"));
    }
    if !own && endpoint.addresses.iter().all(|address| address.ip().is_loopback()) {
        return Some("a loopback address of another site".into());
    }
    endpoint.https.then(|| "TLS without a certificate here: passed through, no scope".into())
}
