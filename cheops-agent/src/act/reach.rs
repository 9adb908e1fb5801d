//! The way to one site's instance of a service: dialled here, through another host's agent, or through a peer.

use std::net::{IpAddr, SocketAddr};

use tokio::time::{Instant, timeout};

use super::far::Far;
use super::shared::Shared;
use super::upstream::{Dialling, dial};
use crate::address::{ClientAddr, is_here};
use crate::http::Code;
use crate::metadata::{Endpoint, Site, Snapshot};
use crate::observe::Limit;
use crate::peer::{Envelope, Hop, Refusal};

/// Reaches an endpoint of this agent's own site. On a host that has an agent it is reached through that agent, which
/// dials locally (AMENDMENTS 18); `envelope` says how the request would go there, and an envelope that is decided
/// already goes no further than to the service.
///
/// # Errors
/// Nothing was sent.
pub(super) async fn own(
    shared: &Shared,
    snapshot: &Snapshot,
    endpoint: &Endpoint,
    client: ClientAddr,
    envelope: &Envelope,
) -> Result<Far, Refusal> {
    if endpoint.https {
        let detail = format!("{} is https, and the agent has no certificate for it", endpoint.authority);
        return Err(Refusal::not_sent(Code::TlsEndpoint, detail));
    }
    let mut addresses = endpoint.addresses.clone();
    addresses.sort_by_key(|address| !is_here(address.ip()));
    let mut failed = None;
    for to in addresses {
        let agent = if envelope.decided || is_here(to.ip()) { None } else { agent_at(snapshot, to.ip()) };
        let reached = match agent {
            Some(site) => peer(shared, &site, &Envelope { decided: true, ..envelope.clone() }, true).await,
            None => service(shared, to, client).await.map(Far::Service),
        };
        match reached {
            Ok(far) => return Ok(far),
            Err(refusal) => failed = Some(refusal),
        }
    }
    Err(failed.unwrap_or_else(|| {
        Refusal::not_sent(Code::ServiceUnreachable, format!("{} has no address now", endpoint.authority))
    }))
}

async fn service(shared: &Shared, to: SocketAddr, client: ClientAddr) -> Result<tokio::net::TcpStream, Refusal> {
    let (config, listening) = (shared.config.load(), shared.own.load());
    let dialling = Dialling::new(shared.mark, &config.timeouts);
    dial(&*shared.origins, to, client, &listening, dialling).await.map_err(|error| {
        if let Some(limit) = error.limit() {
            shared.observer.limit(limit);
        }
        Refusal::not_sent(error.problem().code, format!("{}: {error}", config.site))
    })
}

/// Opens an exchange at one of the site's agents. With `confirmed`, also waits until that agent has reached the service,
/// at the price of a round trip: until then nothing can have happened there, whatever happens to the link.
///
/// # Errors
/// Nothing was sent.
pub(super) async fn peer(shared: &Shared, site: &Site, envelope: &Envelope, confirmed: bool) -> Result<Far, Refusal> {
    let Some(peers) = &shared.peers else {
        let detail = format!("{}: this agent has no [peer] in its configuration", site.name);
        return Err(Refusal::not_sent(Code::PeerUnreachable, detail));
    };
    let refused = |error: crate::peer::PeerError| {
        if error.code() == Code::PeerBusy {
            shared.observer.limit(Limit::PeerExchanges);
        }
        Refusal::not_sent(error.code(), error.to_string())
    };
    let connect = shared.config.load().timeouts.connect;
    // A first agent that doesn't answer must leave time for the second.
    let agents = u32::try_from(site.peers.len()).unwrap_or(1).clamp(1, 4);
    let mut stream = peers.open(site, envelope, Instant::now() + connect * agents).await.map_err(refused)?;
    if confirmed {
        // The peer dials too.
        match timeout(connect * 2, stream.ready()).await {
            Ok(ready) => ready.map_err(refused)?,
            Err(_) => {
                let detail =
                    format!("{} did not take the request on within {} s", site.name, connect.as_secs_f64() * 2.0);
                return Err(Refusal::not_sent(Code::PeerUnreachable, detail));
            }
        }
    }
    Ok(Far::Peer(Box::new(stream)))
}

/// The site's agents in the order in which they are tried: the service's own host first, the dead ones last.
pub(super) fn ordered(shared: &Shared, site: &Site, endpoint: Option<&Endpoint>) -> Site {
    let mut site = site.clone();
    if let Some(endpoint) = endpoint {
        let hosts: Vec<IpAddr> = endpoint.addresses.iter().map(SocketAddr::ip).collect();
        site.peers.sort_by_key(|peer| !peer.parse::<SocketAddr>().is_ok_and(|peer| hosts.contains(&peer.ip())));
    }
    shared.liveness.ordered(&site)
}

/// This agent as a hop.
pub(super) fn here(shared: &Shared) -> Hop {
    let config = shared.config.load();
    Hop { site: config.site.clone(), host: config.host.clone() }
}

/// The own site with only the agent at `ip`, if there is one.
fn agent_at(snapshot: &Snapshot, ip: IpAddr) -> Option<Site> {
    let own = snapshot.own_site()?;
    let at = |peer: &&String| peer.parse::<SocketAddr>().is_ok_and(|peer| peer.ip() == ip);
    let peers: Vec<String> = own.peers.iter().filter(at).cloned().collect();
    (!peers.is_empty()).then(|| Site { peers, ..own.clone() })
}
