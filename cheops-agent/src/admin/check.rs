//! `/v1/check`: graded checks of the running agent.

mod cluster;
mod identity;
mod timers;

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;

use super::{Agent, ApiError, certificate, document, hosts, rotation};
use crate::config::InterceptMode;
use crate::observe::{Check, Grade};
use crate::peer::{PeerState, PeerStatus};

#[derive(Serialize)]
struct Checks {
    checks: Vec<Check>,
}

pub async fn get(State(agent): State<Arc<Agent>>) -> Result<impl IntoResponse, ApiError> {
    // The kernel's checks read files and maps: not on the thread that answers others.
    let checks = tokio::task::spawn_blocking(move || checks(&agent)).await;
    let checks = checks.map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(document("Checks", Checks { checks }))
}

fn checks(agent: &Agent) -> Vec<Check> {
    let mut checks = vec![ready(agent)];
    if agent.config().intercept.mode == InterceptMode::Ebpf {
        checks.extend((agent.kernel_checks)());
        checks.push(probe(agent));
    }
    checks.extend(super::metadata::checks(agent));
    checks.extend(names(agent));
    checks.extend(aliases(agent));
    checks.extend(certificate::check(agent));
    checks.extend(rotation::check(agent));
    checks.extend(membership(agent));
    checks.extend(peers(agent));
    checks.extend(certificates(agent));
    checks.extend(cluster::checks(agent));
    checks.extend(identity::checks(agent));
    checks.push(connections(agent));
    checks
}

fn ready(agent: &Agent) -> Check {
    let waiting = agent.life.waiting();
    if waiting.is_empty() {
        return Check::ok("ready", "the agent is ready");
    }
    let found = format!("waits for {}", waiting.join("; "));
    Check::not("ready", Grade::Fail, found, "See the agent's log: journalctl -u cheops-agent")
}

fn probe(agent: &Agent) -> Check {
    match &agent.known().probe {
        Some(probe) => match &probe.trouble {
            None => Check::ok("self-probe", format!("seen {} s ago", probe.at.elapsed().as_secs())),
            Some(trouble) => Check::not(
                "self-probe",
                Grade::Fail,
                trouble.clone(),
                "Something on this host's hooks takes or drops connections first; see cheops-agent --dump-maps",
            ),
        },
        None => Check::not("self-probe", Grade::Warn, "has not run yet", "Ask again in a moment"),
    }
}

fn names(agent: &Agent) -> Vec<Check> {
    let known = agent.known();
    let check = |(name, state): (&str, &crate::metadata::names::Name)| match &state.trouble {
        None => Check::ok("names", format!("{name} is {} addresses", state.addresses.len())),
        Some(trouble) => {
            let (grade, kept) = match state.addresses.is_empty() {
                true => (Grade::Fail, ""),
                false => (Grade::Warn, "; its last addresses are kept"),
            };
            Check::not("names", grade, format!("{name}: {trouble}{kept}"), "Look at the name in DNS or /etc/hosts")
        }
    };
    known.names.iter().map(check).collect()
}

fn aliases(agent: &Agent) -> Vec<Check> {
    let snapshot = agent.snapshot();
    let known = agent.known();
    let check = |address: std::net::SocketAddr| {
        let why = known.aliases.why_not(address).unwrap_or("not dialled yet");
        let found = format!("{address} is not guarded: it never accepted a connection ({why})");
        let remedy =
            "Take it out of the service's endpoints, or let the service listen there; it is tried every minute";
        Check::not("aliases", Grade::Warn, found, remedy)
    };
    known.aliases.pending(&snapshot).into_iter().map(check).collect()
}

/// Whether this host belongs to a federation, where it joins by command.
fn membership(agent: &Agent) -> Option<Check> {
    let standing = agent.membership.as_ref()?.standing();
    match standing.state {
        "joined" => {
            Some(Check::ok("membership", format!("this host has joined the federation {}", standing.federation)))
        }
        "not-joined" => Some(Check::not(
            "membership",
            Grade::Warn,
            match standing.trouble {
                Some(trouble) => format!("not joined: this host serves its own site alone, since {trouble}"),
                None => "not joined: this host serves its own site alone".to_owned(),
            },
            "cheops site join TOKEN, with a token that was issued at a host of the federation; cheops site init for the first",
        )),
        _ => None,
    }
}

fn peers(agent: &Agent) -> Vec<Check> {
    let snapshot = agent.snapshot();
    let others = snapshot.sites.values().filter(|site| !site.own);
    let check = |site: &crate::metadata::Site| match &agent.peers {
        Some(peers) => peer(site.name.as_str(), &peers.liveness.site(&site.name)),
        None => {
            let found = format!("{} can't be reached: there is no [peer]", site.name);
            Check::not("peers", Grade::Warn, found, "Add [peer] to the configuration")
        }
    };
    others.map(check).collect()
}

fn peer(site: &str, status: &PeerStatus) -> Check {
    match status.state {
        _ if status.one_way().is_some() => Check::not(
            "peers",
            Grade::Warn,
            format!("{site}: {}", status.one_way().unwrap_or_default()),
            "Look at the routes and filters in both directions, for TCP and UDP at the peer address's port",
        ),
        PeerState::Alive => {
            let rtt = status.rtt.map_or(0.0, |rtt| rtt.as_secs_f64() * 1000.0);
            Check::ok("peers", format!("{site} answers in {rtt:.1} ms"))
        }
        PeerState::Unknown => {
            Check::not("peers", Grade::Warn, format!("{site} was not asked yet"), "Ask again in a moment")
        }
        PeerState::Suspect | PeerState::Dead => Check::not(
            "peers",
            Grade::Warn,
            format!("{site} doesn't answer: {}", status.trouble.as_deref().unwrap_or("no reason known")),
            "Look at the agent there, at the way to it, and at the certificates of both",
        ),
    }
}

fn certificates(agent: &Agent) -> Vec<Check> {
    let remedy = "Renew it; an agent that joined does so by itself, so look into its log for why it can't";
    let check = |(site, host, told)| {
        Check::not("certificates", Grade::Warn, format!("the certificate of {host} at {site} {told}"), remedy)
    };
    hosts::warnings(agent).into_iter().map(check).collect()
}

fn connections(agent: &Agent) -> Check {
    let limit = agent.config().limits.connections;
    let open = agent.observer.connections_open();
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    let found = format!("{open} of {limit} connections are open");
    if open.saturating_mul(10) >= most.saturating_mul(9) {
        Check::not("connections", Grade::Warn, found, "Raise limits.connections, or find out who holds them")
    } else {
        Check::ok("connections", found)
    }
}
