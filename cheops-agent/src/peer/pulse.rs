//! The pulse of a link: PINGs (RFC 9113, 6.7) that find out that a peer has gone without a word.

use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{sleep, timeout};

/// Between two PINGs.
const EVERY: Duration = Duration::from_secs(1);
/// How long a PING may go unanswered before the link is given up: what is in flight on it then has an unknown outcome
/// after seconds, not after a TCP time-out of minutes.
const PATIENCE: Duration = Duration::from_secs(4);

/// Pings until the peer doesn't answer, and returns why the link is to be given up.
pub(super) async fn beat(ping_pong: Option<PingPong>) -> String {
    let Some(mut ping_pong) = ping_pong else {
        // Taken already; then somebody else looks after this link.
        return std::future::pending().await;
    };
    loop {
        match timeout(PATIENCE, ping_pong.ping(Ping::opaque())).await {
            Ok(Ok(_)) => sleep(EVERY).await,
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return format!("no answer for {} s", PATIENCE.as_secs()),
        }
    }
}
