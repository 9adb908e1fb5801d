//! Connections to members: with the files as they are when one is made, so that new certificates and passwords are taken
//! up by themselves.

use std::path::Path;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use tokio::time::timeout;

use super::trouble::{Kind, Trouble};
use crate::config::EtcdConfig;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long etcd may take to check a password, which is made to be slow and asks the cluster.
const LOGIN: Duration = Duration::from_secs(10);
/// etcd ends connections on which it is pinged more often than each 5 s.
const PING: Duration = Duration::from_secs(6);
/// How soon a ping has to come back.
const PONG: Duration = Duration::from_secs(4);
/// The largest password file.
const PASSWORD: usize = 4096;

/// A connection that says who this agent is.
pub async fn connect(config: &EtcdConfig, endpoint: &str) -> Result<Client, Trouble> {
    let mut options = options(config).await?.with_require_leader(true).with_auto_token_refresh(true);
    if let Some((user, file)) = &config.user {
        options = options.with_user(user, password(file).await?);
    }
    let connected = timeout(LOGIN, Client::connect([endpoint], Some(options))).await;
    Ok(connected.map_err(|_| Trouble::silence(LOGIN))??)
}

/// A connection that asks a member how it is, for which it needs no user and no leader.
pub async fn anonymous(config: &EtcdConfig, endpoint: &str) -> Result<Client, Trouble> {
    Ok(Client::connect([endpoint], Some(options(config).await?)).await?)
}

async fn options(config: &EtcdConfig) -> Result<ConnectOptions, Trouble> {
    let options = ConnectOptions::new()
        .with_connect_timeout(CONNECT)
        .with_tcp_keepalive(PING)
        .with_keep_alive(PING, PONG)
        .with_keep_alive_while_idle(true);
    let Some(ca) = &config.ca else { return Ok(options) };
    let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca).await?));
    if let Some((cert, key)) = &config.identity {
        tls = tls.identity(Identity::from_pem(read(cert).await?, read(key).await?));
    }
    Ok(options.with_tls(tls))
}

async fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    let read = tokio::fs::read(path).await;
    read.map_err(|error| Trouble::new(Kind::Refused, format!("{}: {error}", path.display())))
}

/// The password: the file's first line.
async fn password(path: &Path) -> Result<String, Trouble> {
    let bytes = read(path).await?;
    let refused = |why: &str| Trouble::new(Kind::Refused, format!("{}: {why}", path.display()));
    if bytes.len() > PASSWORD {
        return Err(refused("a password is no longer than 4096 bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("it is no text"))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(refused("its first line has no password")),
    }
}
