//! The self-probe: a connection of this process that only the programs can bring to the agent.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::KernelError;
use crate::metadata::Guard;

/// Guarded for probes alone; nobody serves anything at port 1 (tcpmux, RFC 1078, is historic). Not in `127.64.0.0/10`.
pub const TO_V4: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 63, 255, 254)), 1);
/// The same for native IPv6.
pub const TO_V6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 1);

/// How long a probe may take.
const WITHIN: Duration = Duration::from_secs(2);

/// Probes on their way.
#[derive(Debug, Default)]
pub struct Probes {
    /// Ports of probes that were accepted.
    seen: Mutex<BTreeSet<u16>>,
    accepted: Notify,
}

/// What must be guarded for the probes.
pub fn guards(ipv6: bool) -> impl Iterator<Item = Guard> {
    let to = [Some(TO_V4), ipv6.then_some(TO_V6)];
    to.into_iter().flatten().map(|address| Guard { address, own: false, refuse_when_down: false })
}

/// Whether a taken connection is a probe.
pub fn is_probe(to: SocketAddr) -> bool {
    to == TO_V4 || to == TO_V6
}

impl Probes {
    /// A probe from that port was accepted.
    pub fn accepted(&self, port: u16) {
        self.ports().insert(port);
        self.accepted.notify_waiters();
    }

    /// Opens a connection to `to` and waits until it was accepted; how long it took.
    ///
    /// # Errors
    /// When it was not, in time.
    pub async fn send(&self, to: SocketAddr) -> Result<Duration, KernelError> {
        let failed = |why: String| KernelError::Probe { to, within: WITHIN, why };
        let start = Instant::now();
        let end = start + WITHIN;
        let stream = match timeout_at(end, TcpStream::connect(to)).await {
            Ok(connected) => connected.map_err(|error| failed(error.to_string()))?,
            Err(_) => return Err(failed("nobody answered".into())),
        };
        let port = stream.local_addr().map_err(|error| failed(error.to_string()))?.port();
        let seen = async {
            loop {
                // Before looking, so that an acceptance between look and wait is not missed.
                let next = self.accepted.notified();
                if self.ports().remove(&port) {
                    return;
                }
                next.await;
            }
        };
        match timeout_at(end, seen).await {
            Ok(()) => Ok(start.elapsed()),
            Err(_) => Err(failed("it was connected, but not to the agent, or the agent does not accept".into())),
        }
    }

    fn ports(&self) -> std::sync::MutexGuard<'_, BTreeSet<u16>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_probe_that_nobody_takes_fails_with_its_address() {
        let error = Probes::default().send(TO_V4).await.expect_err("nothing is attached").to_string();
        assert!(error.contains("127.63.255.254:1"), "{error}");
    }

    #[tokio::test]
    async fn an_accepted_probe_succeeds_whichever_comes_first() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = listener.local_addr().expect("bound");
        let probes = Probes::default();
        let accept = async {
            let (_stream, from) = listener.accept().await.expect("a probe");
            probes.accepted(from.port());
        };
        let (sent, ()) = tokio::join!(probes.send(to), accept);
        assert!(sent.expect("accepted") < WITHIN);
        assert!(probes.ports().is_empty());
    }
}
