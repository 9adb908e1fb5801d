//! Which addresses the kernel programs take.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::snapshot::Snapshot;
use crate::config::WhenAgentDown;

/// One address whose connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guard {
    pub address: SocketAddr,
    /// Whether it is an endpoint of this agent's own site.
    pub own: bool,
    pub refuse_when_down: bool,
}

/// Addresses of the own site's services besides their first ones. One that never accepted a connection is not guarded:
/// nothing may listen there, and taking its connections would change what clients see (AMENDMENTS 9).
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    accepted: BTreeSet<SocketAddr>,
    refused: BTreeMap<SocketAddr, String>,
}

impl Aliases {
    /// An alias was dialled.
    pub fn dialled(&mut self, address: SocketAddr, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.refused.remove(&address);
                self.accepted.insert(address);
            }
            Err(why) => {
                self.refused.insert(address, why);
            }
        }
    }

    /// Aliases that are still to be dialled.
    pub fn pending(&self, snapshot: &Snapshot) -> Vec<SocketAddr> {
        aliases(snapshot).into_iter().filter(|address| !self.accepted.contains(address)).collect()
    }

    /// Why an address isn't guarded yet.
    pub fn why_not(&self, address: SocketAddr) -> Option<&str> {
        self.refused.get(&address).map(String::as_str)
    }
}

/// Every address to guard, each once. When services that share an address differ in what is done while the agent is
/// down, refusing wins: a caller that asked for safety gets it.
pub fn guards(snapshot: &Snapshot, aliases: &Aliases) -> Vec<Guard> {
    let pending: BTreeSet<SocketAddr> = aliases.pending(snapshot).into_iter().collect();
    let mut guards: BTreeMap<SocketAddr, Guard> = BTreeMap::new();
    for service in &snapshot.services {
        let refuse_when_down = service.when_agent_down == WhenAgentDown::Refuse;
        for (site, endpoints) in &service.endpoints {
            let own = snapshot.sites.get(site).is_some_and(|site| site.own);
            for address in endpoints.iter().flat_map(|endpoint| &endpoint.addresses) {
                if pending.contains(address) || !own && address.ip().is_loopback() {
                    continue;
                }
                let guard = guards.entry(*address).or_insert(Guard { address: *address, own, refuse_when_down });
                guard.own |= own;
                guard.refuse_when_down |= refuse_when_down;
            }
        }
    }
    guards.into_values().collect()
}

/// Addresses at the own site that are no service's first one.
fn aliases(snapshot: &Snapshot) -> BTreeSet<SocketAddr> {
    let (mut first, mut others) = (BTreeSet::new(), BTreeSet::new());
    for service in &snapshot.services {
        for (site, endpoints) in &service.endpoints {
            if !snapshot.sites.get(site).is_some_and(|site| site.own) {
                continue;
            }
            let mut addresses = endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
            first.extend(addresses.next());
            others.extend(addresses);
        }
    }
    others.difference(&first).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_text;
    use crate::metadata::{Names, build};

    fn snapshot() -> Snapshot {
        let text = "site = \"B\"\n[peer]\nlisten = \"127.0.0.1:1\"\ninsecure = true\n[[sites]]\nname = \"P\"\npeer = \"127.0.0.1:2\"\n\
            [[services]]\nname = \"S\"\nendpoints = { B = [\"http://10.0.0.1:80/s\", \"http://127.0.0.1:80/s\"], P = [\"http://10.0.0.2:80\", \"http://127.0.0.1:81\"] }\n\
            [[services]]\nname = \"T\"\nwhen-agent-down = \"refuse\"\nendpoints = { B = \"http://10.0.0.1:80/t\" }";
        build(&from_text(text).unwrap_or_else(|error| panic!("{error}")).config, &Names::default())
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn first_addresses_are_guarded_and_aliases_once_they_accepted() {
        let snapshot = snapshot();
        let mut aliases = Aliases::default();
        let own = Guard { address: address("10.0.0.1:80"), own: true, refuse_when_down: true };
        let other = Guard { address: address("10.0.0.2:80"), own: false, refuse_when_down: false };
        assert_eq!(guards(&snapshot, &aliases), [own, other]);
        let alias = address("127.0.0.1:80");
        assert_eq!(aliases.pending(&snapshot), [alias]);

        aliases.dialled(alias, Err("refused".into()));
        assert_eq!(aliases.why_not(alias), Some("refused"));
        assert_eq!(guards(&snapshot, &aliases).len(), 2);

        aliases.dialled(alias, Ok(()));
        assert_eq!(aliases.why_not(alias), None);
        assert!(guards(&snapshot, &aliases).contains(&Guard { address: alias, own: true, refuse_when_down: false }));
        assert!(aliases.pending(&snapshot).is_empty());
    }

    #[test]
    fn another_sites_loopback_is_never_guarded() {
        assert!(guards(&snapshot(), &Aliases::default()).iter().all(|guard| guard.address != address("127.0.0.1:81")));
    }
}
