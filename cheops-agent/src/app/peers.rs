//! The peer room's two ends, from the configuration.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::admin;
use crate::config::{Config, PeerConfig};
use crate::peer::client::ClientLimits;
use crate::peer::server::ServerLimits;
use crate::peer::trust::identity;
use crate::peer::{Client, Counters, Liveness, Revocations, Security, Server};

/// Both ends; the server listens already.
pub struct Ends {
    pub shown: admin::Peers,
    pub server: Arc<Server>,
    /// What is not believed any more.
    pub revoked: Arc<Revocations>,
}

/// Reads the certificates and listens, with what an earlier agent left as its listener if that is at the same address. To
/// be called on the data path's runtime.
///
/// # Errors
/// When a file can't be used, or the address can't be listened at.
pub async fn open(config: &Config, peer: &PeerConfig, left: Option<OwnedFd>) -> anyhow::Result<Ends> {
    let revoked = Arc::new(Revocations::read(&revoked(config)));
    let security = Security::load(config, peer, &revoked).context("[peer]")?;
    let counters = Arc::new(Counters::default());
    let exchanges = u32::try_from(config.limits.peer_exchanges).unwrap_or(u32::MAX);
    let timeouts = &config.timeouts;
    let limits = ClientLimits {
        connect: timeouts.connect,
        exchanges,
        keepalive: timeouts.keepalive,
        user_timeout: timeouts.user_timeout,
    };
    let client = Arc::new(Client::new(security.clone(), limits, counters.clone()));
    let limits = ServerLimits {
        handshake: timeouts.connect,
        exchanges,
        keepalive: timeouts.keepalive,
        user_timeout: timeouts.user_timeout,
    };
    let server = match left.and_then(|left| usable(left, peer.listen)) {
        Some(listener) => Server::on(listener, identity(config), security, limits, counters.clone()),
        None => Server::bind(peer.listen, identity(config), security, limits, counters.clone())
            .await
            .with_context(|| format!("can't listen for peers at {}", peer.listen))?,
    };
    let liveness = Liveness::new();
    let server = Arc::new(server.telling(liveness.clone()));
    Ok(Ends { shown: admin::Peers { client, liveness, counters }, server, revoked })
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
    /// Reads the certificates again: a renewed one is used from the next connection on.
    ///
    /// # Errors
    /// When a file can't be used; the old ones stay.
    pub fn renew(&self, config: &Config, peer: &PeerConfig) -> anyhow::Result<()> {
        let security = Security::load(config, peer, &self.revoked)?;
        self.shown.client.replace_security(security.clone());
        self.server.replace_security(security);
        Ok(())
    }
}
