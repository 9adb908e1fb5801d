//! The socket of the datagrams.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::peer::Liveness;

/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(50);
/// While the address is taken, by an agent that is about to end: how soon it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Sends what is due and takes what comes, at `listen`, until it is dropped.
pub(in crate::peer) async fn carry(liveness: &Liveness, listen: SocketAddr) {
    let mut told = false;
    loop {
        match UdpSocket::bind(listen).await {
            Ok(socket) => {
                liveness.listens(true);
                exchange(liveness, &socket).await;
                liveness.listens(false);
            }
            Err(error) if !told => {
                told = true;
                tracing::warn!(%listen, %error, "no datagrams: distances are measured over the links alone");
            }
            Err(_) => {}
        }
        sleep(AGAIN).await;
    }
}

async fn exchange(liveness: &Liveness, socket: &UdpSocket) -> io::Error {
    // One byte more than any datagram of ours, so that a longer one is told from it.
    let mut buffer = [0; super::LENGTH + 1];
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                for (to, probe) in liveness.due() {
                    // What can't be sent is lost; the next one may not be.
                    let _lost = socket.try_send_to(&probe, to);
                }
            }
            came = socket.recv_from(&mut buffer) => match came {
                Ok((length, from)) => {
                    let answer = buffer.get(..length).and_then(|bytes| liveness.came(bytes));
                    let _lost = answer.map(|answer| socket.try_send_to(&answer, from));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return error,
            }
        }
    }
}
