//! The options that notice a dead other end, read back from the agent's own sockets.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, ensure};
use cheops_tests::lab::tell;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use socket2::Socket;

use super::scene::{GET, Scene};

/// What each of the two sockets of the client's connection must have.
pub fn watch_over(scene: &mut Scene) -> anyhow::Result<()> {
    let said = |keepalive, user_timeout| {
        let keys = format!("timeouts.keepalive = '{keepalive}s'\ntimeouts.user-timeout = '{user_timeout}s'");
        (keys, keepalive, Some(Duration::from_secs(user_timeout)))
    };
    for (keys, keepalive, user_timeout) in [said(77, 33), said(5, 4), (String::new(), 60, None)] {
        scene.configure(&keys)?;
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
            // One that answers no probe has gone after two minutes more.
            ensure!(socket.tcp_keepalive_interval()? * socket.tcp_keepalive_retries()? == Duration::from_secs(120));
            let set = socket.tcp_user_timeout()?.filter(|time| !time.is_zero());
            ensure!(set == user_timeout, "{set:?} is set, not {user_timeout:?}");
        }
    }
    pauses(scene)?;
    tell("limits", &format!("5 cases of dead ends and pauses, of clients at {}", scene.host().name()));
    Ok(())
}

/// A client that reads nothing for a while gets everything all the same, unless the configuration says how long it may.
fn pauses(scene: &mut Scene) -> anyhow::Result<()> {
    const LENGTH: usize = 32 << 20;
    const PAUSE: Duration = Duration::from_secs(5);
    for (keys, is_reset) in [("", false), ("timeouts.user-timeout = '1s'", true)] {
        scene.configure(keys)?;
        let (mut client, mut service) = scene.own_service(GET)?;
        let sending = std::thread::spawn(move || {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
            // That the client was reset shows at the client.
            drop(service.send(head).and_then(|service| service.send(vec![b'x'; LENGTH])));
            service
        });
        std::thread::sleep(PAUSE);
        let read = client.read_until(b"\r\n\r\n").and_then(|_| client.read_exact(LENGTH));
        ensure!(read.is_err() == is_reset, "after a pause with \"{keys}\": {:?}", read.map(|bytes| bytes.len()));
        drop(client);
        ensure!(sending.join().is_ok(), "the service's thread");
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
