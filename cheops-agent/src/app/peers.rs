//! The peer room's two ends, from the configuration.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::admin;
use crate::config::{Config, PeerConfig, PeerSecurity};
use crate::metadata::Store;
use crate::metadata::seal::{Stranger, Unsealed};
use crate::peer::client::ClientLimits;
use crate::peer::server::ServerLimits;
use crate::peer::trust::{Joined, Signed, Written, identity};
use crate::peer::{Client, Counters, Liveness, Revocations, Security, Server};

/// How long what another agent was sent may stay unacknowledged: agents always read.
const UNACKNOWLEDGED: Duration = Duration::from_secs(120);

/// Both ends; the server listens already. Cheap to share.
#[derive(Clone)]
pub struct Ends {
    pub shown: admin::Peers,
    pub server: Arc<Server>,
    /// What is not believed any more.
    pub revoked: Arc<Revocations>,
    /// When records were written, as far as it was seen.
    pub written: Arc<Written>,
    /// Whether this host has the key of an authority that is believed.
    pub signs: Arc<AtomicBool>,
    /// Tells who looks after the certificates that there are others, or other authorities.
    pub taken_up: Arc<Notify>,
}

/// Reads the certificates and listens, with what an earlier agent left as its listener if that is at the same address. To
/// be called on the data path's runtime.
///
/// # Errors
/// When a file can't be used, or the address can't be listened at.
pub async fn open(config: &Config, peer: &PeerConfig, left: Option<OwnedFd>) -> anyhow::Result<Ends> {
    let revoked = Arc::new(Revocations::read(&revoked(config)));
    let security = match (Security::load(config, peer, &revoked), &peer.security) {
        // Whatever became of what it was given: its own site is served.
        (Err(error), PeerSecurity::Joined { directory }) => {
            tracing::error!(%error, directory = %directory.display(), "this host's certificates can't be used: as if it had joined nothing, until it joins again");
            Security::Unjoined
        }
        (loaded, _) => loaded.context("[peer]")?,
    };
    let counters = Arc::new(Counters::default());
    let exchanges = u32::try_from(config.limits.peer_exchanges).unwrap_or(u32::MAX);
    let timeouts = &config.timeouts;
    let limits = ClientLimits {
        connect: timeouts.connect,
        exchanges,
        keepalive: timeouts.keepalive,
        user_timeout: UNACKNOWLEDGED,
    };
    let client = Arc::new(Client::new(security.clone(), limits, counters.clone()));
    let limits = ServerLimits {
        handshake: timeouts.connect,
        exchanges,
        keepalive: timeouts.keepalive,
        user_timeout: UNACKNOWLEDGED,
    };
    let server = match left.and_then(|left| usable(left, peer.listen)) {
        Some(listener) => Server::on(listener, identity(config), security, limits, counters.clone()),
        None => Server::bind(peer.listen, identity(config), security, limits, counters.clone())
            .await
            .with_context(|| format!("can't listen for peers at {}", peer.listen))?,
    };
    let liveness = Liveness::new();
    liveness.reach(peer.probes);
    let server = Arc::new(server.telling(liveness.clone()));
    Ok(Ends {
        shown: admin::Peers { client, liveness, counters, renewal: Arc::default(), authority: Arc::default() },
        server,
        revoked,
        written: Arc::default(),
        signs: Arc::default(),
        taken_up: Arc::default(),
    })
}

/// Where it is kept what was revoked.
pub fn revoked(config: &Config) -> PathBuf {
    config.state_dir.join("tls/revoked.json")
}

/// The listener, if it is one at that address.
pub fn usable(left: OwnedFd, address: SocketAddr) -> Option<TcpListener> {
    let socket = socket2::Socket::from(left);
    let at = socket.local_addr().ok().and_then(|at| at.as_socket());
    if !socket.is_listener().unwrap_or(false) || at != Some(address) {
        return None;
    }
    TcpListener::from_std(socket.into()).ok()
}

impl Ends {
    /// Reads the certificates again: others are used from the next connection on, and for the next record.
    ///
    /// # Errors
    /// When a file can't be used; the old ones stay.
    pub fn take_up(&self, config: &Config, peer: &PeerConfig, metadata: &Store) -> anyhow::Result<()> {
        let security = Security::load(config, peer, &self.revoked)?;
        self.fit_seal(peer, &security, metadata)?;
        self.shown.client.replace_security(security.clone());
        self.server.replace_security(security);
        self.taken_up.notify_one();
        Ok(())
    }

    /// Gives the metadata the seal that fits the certificates.
    ///
    /// # Errors
    /// When a key is of a kind that can't sign.
    pub fn seal(&self, peer: &PeerConfig, metadata: &Store) -> anyhow::Result<()> {
        self.fit_seal(peer, &self.shown.client.security(), metadata)
    }

    fn fit_seal(&self, peer: &PeerConfig, security: &Security, metadata: &Store) -> anyhow::Result<()> {
        let authorities = match (&peer.security, security) {
            (PeerSecurity::Joined { directory }, Security::Tls(trust)) => trust.held(&Joined::at(directory)),
            _ => Vec::new(),
        };
        self.signs.store(!authorities.is_empty(), Ordering::Relaxed);
        if metadata.is_embedded() {
            return Ok(());
        }
        metadata.replace_seal(match security {
            Security::Insecure => Box::new(Unsealed),
            Security::Unjoined => Box::new(Stranger),
            Security::Tls(trust) => Box::new(Signed::new(trust, authorities, self.written.clone())?),
        });
        Ok(())
    }
}
