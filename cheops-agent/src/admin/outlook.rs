//! What would happen if a site went, from what this agent knows now.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Agent;
use crate::metadata::outlook::{Kept, Outlook};
use crate::metadata::record::Record;
use crate::metadata::{Cluster, Key};

/// A backend that is silent for so long can't be written to.
const SILENT: Duration = Duration::from_secs(15);

/// The outlook of this moment, with what is known of the cluster.
pub fn of(agent: &Agent, cluster: Option<&Cluster>) -> Outlook {
    let store = &agent.metadata;
    let kept = match store.is_embedded() {
        true => Kept::Embedded,
        false => {
            Kept::Cluster { members: cluster, answers: store.heard().is_some_and(|heard| heard.elapsed() < SILENT) }
        }
    };
    let distances = agent.shared.liveness.distances();
    Outlook::of(kept, &agent.snapshot(), &distances, &own(agent))
}

/// Addresses of the own site's hosts.
fn own(agent: &Agent) -> Vec<IpAddr> {
    let config = agent.config();
    let view = agent.metadata.view();
    let of_records = view.iter().filter_map(|(key, record)| match (key, record) {
        (Key::Host(site, _), Record::Host(host)) if *site == config.site => Some(&host.peers),
        _ => None,
    });
    let told = of_records.flatten().filter_map(|peer| peer.parse().ok());
    let listens = config.peer.as_ref().map(|peer| peer.listen);
    listens.into_iter().chain(told).map(|address: SocketAddr| address.ip()).collect()
}
