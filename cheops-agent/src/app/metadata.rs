//! The agent's copy of what sites keep together: opened at the start, followed by a backend, and told what this agent has.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::peers::Ends;
use crate::admin::Agent;
use crate::config::{Config, MetadataConfig};
use crate::metadata::etcd::Etcd;
use crate::metadata::publish::{self, AGAIN, Facts, Told};
use crate::metadata::record::{self, HostRecord, Millis, Record, SiteRecord};
use crate::metadata::seal::Stranger;
use crate::metadata::store::FILE;
use crate::metadata::{Key, Store, View};
use crate::peer::Security;
use crate::peer::trust::fingerprint;

/// Changes that come close together are answered together.
const PAUSE: Duration = Duration::from_millis(100);

/// Where what is written is kept for all; none where it is kept here alone.
pub type Backend = Option<Etcd>;

/// The copy, with what an earlier agent knew, and its backend, which nobody waits for.
///
/// # Errors
/// When this host's key is of a kind that can't sign.
pub fn open(config: &Config, ends: Option<&Ends>) -> anyhow::Result<(Arc<Store>, Backend)> {
    let (store, backend) = match &config.metadata {
        MetadataConfig::Embedded => (Store::embedded(&config.federation), None),
        MetadataConfig::Etcd(etcd) => {
            let etcd = Etcd::new(etcd);
            let store = Store::new(&config.federation, Box::new(Stranger), Some(Box::new(etcd.clone())));
            (store, Some(etcd))
        }
    };
    // Before anything is read, which is checked when it is.
    if let (Some(ends), Some(peer)) = (ends, &config.peer) {
        ends.seal(peer, &store).context("[peer]")?;
    }
    let store = store.kept_at(config.state_dir.join(FILE), config.site.as_str(), config.host.as_str());
    Ok((Arc::new(store), backend))
}

/// Saves what changed of the copy, for ever.
pub async fn save(store: Arc<Store>) {
    store.save().await;
}

/// Follows the backend for ever.
pub async fn follow(store: Arc<Store>, backend: Backend) {
    match backend {
        Some(etcd) => match etcd.keep(&store).await {},
        // What is written is kept.
        None => std::future::pending().await,
    }
}

/// The addresses of this host: none of them is another site's.
pub fn addresses() -> Vec<IpAddr> {
    match nix::ifaddrs::getifaddrs() {
        Ok(all) => all.filter_map(|one| ip(one.address?)).collect(),
        Err(error) => {
            tracing::error!(%error, "can't ask for the addresses of this host");
            Vec::new()
        }
    }
}

fn ip(address: nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

/// Tells what this agent is and has.
pub struct Publisher {
    agent: Arc<Agent>,
    ends: Option<Ends>,
    started: Millis,
    told: Mutex<Told>,
    /// How the site stood when that was last known.
    standing: Mutex<Option<SiteRecord>>,
}

impl Publisher {
    pub fn new(agent: Arc<Agent>, ends: Option<Ends>) -> Self {
        Self { agent, ends, started: record::now(), told: Mutex::default(), standing: Mutex::default() }
    }

    /// Writes what is missing or different, whether the backend can be reached or not.
    pub fn publish(&self) {
        let config = self.agent.config();
        let store = &self.agent.metadata;
        let view = store.view();
        let due = publish::due(&config, &self.facts(&config, &view), &view);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for write in told.fresh(due, &view, now) {
            if store.tell(write.clone()) {
                told.insert(write, now);
            }
        }
    }

    /// Publishes for ever.
    pub async fn keep(self: Arc<Self>) {
        let mut changes = self.agent.metadata.changes();
        loop {
            self.publish();
            tokio::time::sleep(PAUSE).await;
            // Late or soon: either way it is looked again.
            drop(tokio::time::timeout(AGAIN, changes.changed()).await);
        }
    }

    /// How the site stands, or stood when that was last known; nothing while this host belongs to no federation.
    fn standing(&self, config: &Config, view: &View, joined: bool) -> Option<SiteRecord> {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        match view.get(&Key::Site(config.site.clone())).map(|kept| &kept.record) {
            Some(Record::Site(record)) => *standing = Some(record.clone()),
            _ if !joined => *standing = None,
            _ => {}
        }
        standing.clone()
    }

    fn facts(&self, config: &Config, view: &View) -> Facts {
        let security = self.ends.as_ref().map(|ends| ends.shown.client.security());
        let joined = !matches!(security.as_deref(), Some(Security::Unjoined));
        let trust = match security.as_deref() {
            Some(Security::Tls(trust)) => Some(trust),
            _ => None,
        };
        let host = HostRecord {
            peers: config.peer.as_ref().map(|peer| reached(peer.listen)).unwrap_or_default(),
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            certificate: trust.map(|trust| trust.facts()),
            signs: self.ends.as_ref().is_some_and(|ends| ends.signs.load(Ordering::Relaxed)),
            trusts: trust.map(|trust| trust.authorities.iter().map(fingerprint).collect()).unwrap_or_default(),
        };
        let standing = self.standing(config, view, joined);
        Facts { host, started: self.started, now: record::now(), standing }
    }
}

/// Where others reach an agent that listens at `listen`.
pub fn reached(listen: SocketAddr) -> Vec<String> {
    if !listen.ip().is_unspecified() {
        return vec![listen.to_string()];
    }
    let all = addresses().into_iter().filter(|ip| ip.is_ipv4() == listen.is_ipv4());
    let others = all.map(|ip| SocketAddr::new(ip, listen.port()));
    let mut others: Vec<SocketAddr> =
        others.filter(|address| crate::metadata::learned::admit_within(*address).is_ok()).collect();
    others.sort_unstable();
    others.iter().map(SocketAddr::to_string).collect()
}
