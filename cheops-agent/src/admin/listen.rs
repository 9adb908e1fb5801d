//! The unix socket and the TCP listener.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use nix::unistd::Group;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::access::GROUP;
use super::{Agent, Caller};
use crate::kernel::session::Process;

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let socket = stream.io();
        match socket.peer_cred() {
            Ok(credentials) => Caller::new(credentials.uid(), credentials.gid(), Process::at(socket).ok()),
            Err(_) => Caller::nobody(),
        }
    }
}

/// Makes the socket: 0660, of group `cheops` where there is one. A socket that a dead agent left is replaced.
///
/// # Errors
/// `AddrInUse` when another agent answers at it; else what the system says.
pub async fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    match tokio::net::UnixStream::connect(path).await {
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent answers at this socket")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    if let Some(group) = Group::from_name(GROUP)? {
        std::os::unix::fs::chown(path, None, Some(group.gid.as_raw()))?;
    }
    Ok(listener)
}

/// The socket that an earlier agent hands on.
///
/// # Errors
/// When it isn't one.
pub fn socket(left: OwnedFd) -> io::Result<UnixListener> {
    UnixListener::from_std(left.into())
}

/// Serves the unix socket until `stop`.
///
/// # Errors
/// When the socket breaks.
pub async fn serve_socket(listener: UnixListener, agent: Arc<Agent>, stop: CancellationToken) -> io::Result<()> {
    let service = super::for_socket(agent).into_make_service_with_connect_info::<Caller>();
    axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// Serves the TCP listener until `stop`.
///
/// # Errors
/// When the listener breaks.
pub async fn serve_tcp(listener: TcpListener, agent: Arc<Agent>, stop: CancellationToken) -> io::Result<()> {
    axum::serve(listener, super::for_tcp(agent)).with_graceful_shutdown(stop.cancelled_owned()).await
}
