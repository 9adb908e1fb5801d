//! The options that notice a dead other end, read back from the agent's own sockets.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use socket2::Socket;

use super::scene::{GET, Scene};

/// What each of the two sockets of the client's connection must have.
pub fn watch_over(scene: &mut Scene) -> anyhow::Result<()> {
    for (keepalive, user_timeout) in [(77, 33), (5, 4)] {
        scene.configure(&format!("timeouts.keepalive = '{keepalive}s'\ntimeouts.user-timeout = '{user_timeout}s'"))?;
        let mut client = scene.client()?;
        ensure!(client.exchange(GET)?.status == 200);
        let (port, app) = (client.local()?.port(), scene.app());
        let all = sockets(scene)?;
        let is_clients = |peer: SocketAddr| peer.port() == port;
        let is_services = |peer: SocketAddr| peer == app;
        let of = |wanted: &dyn Fn(SocketAddr) -> bool| {
            let peer = |socket: &&Socket| socket.peer_addr().ok()?.as_socket();
            all.iter().find(|socket| peer(socket).is_some_and(wanted)).context("the agent has no such socket")
        };
        for socket in [of(&is_clients)?, of(&is_services)?] {
            ensure!(socket.keepalive()? && socket.tcp_nodelay()?);
            ensure!(socket.tcp_keepalive_time()? == Duration::from_secs(keepalive));
            ensure!(socket.tcp_user_timeout()? == Some(Duration::from_secs(user_timeout)));
        }
    }
    Ok(())
}

/// The agent's open sockets, the newest first.
fn sockets(scene: &Scene) -> anyhow::Result<Vec<Socket>> {
    let id = scene.agent().pid().context("runs")?;
    let process = pidfd_open(Pid::from_raw(i32::try_from(id)?).context("a pid")?, PidfdFlags::empty())?;
    let mut numbers: Vec<i32> = std::fs::read_dir(format!("/proc/{id}/fd"))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable_by(|one, other| other.cmp(one));
    // What isn't a socket has no peer, and is passed over by that.
    let get = |number| pidfd_getfd(&process, number, PidfdGetfdFlags::empty());
    Ok(numbers.into_iter().filter_map(|number| get(number).ok()).map(|socket: OwnedFd| socket.into()).collect())
}
