//! This agent's part in a federation, from the configuration.

use std::sync::Arc;

use super::metadata;
use super::peers::Ends;
use crate::config::{Config, PeerConfig, PeerSecurity};
use crate::membership::{Admission, Membership, Parts, Sealing};
use crate::metadata::Store;
use crate::peer::trust::{Joined, identity};

/// Makes it, and lets other hosts ask to be let in where tokens can be.
pub fn open(config: &Config, peer: &PeerConfig, ends: &Ends, store: &Arc<Store>) -> Arc<Membership> {
    let joined = match &peer.security {
        PeerSecurity::Joined { directory } => Some(Joined::at(directory)),
        PeerSecurity::Tls { .. } | PeerSecurity::Insecure => None,
    };
    let renew = {
        let (config, peer, ends, store) = (config.clone(), peer.clone(), ends.clone(), store.clone());
        Box::new(move || ends.take_up(&config, &peer, &store).map_err(|error| format!("{error:#}")))
    };
    let asked = joined.is_some() && !store.is_embedded();
    let membership = Arc::new(Membership::new(Parts {
        identity: identity(config),
        store: store.clone(),
        joined,
        addresses: metadata::reached(peer.listen),
        sealing: Sealing { revoked: ends.revoked.clone(), written: ends.written.clone() },
        renew,
        patience: config.timeouts.connect.saturating_mul(3),
        life: peer.certificate_life,
    }));
    if asked {
        ends.server.admit(Arc::new(Admission::new(membership.clone())));
    }
    membership
}
