//! One agent's link: made when it is needed, kept, given up when it is silent, and not asked again too soon.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Client;
use super::dial::{Dialled, dial};
use crate::names::SiteName;
use crate::peer::counters::Count;
use crate::peer::pulse;

/// After a first failure; doubled with each further one, and jittered down to its half.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// A site that is back is found after this at the latest.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The link to one agent.
pub(super) struct Link {
    site: SiteName,
    address: String,
    state: Mutex<State>,
    /// Held by the one who dials.
    dialling: tokio::sync::Mutex<()>,
    /// The number of its clones is the number of exchanges that are open.
    open: Arc<()>,
    stop: CancellationToken,
}

/// Counts as an open exchange as long as it lives.
pub(in crate::peer) struct OpenExchange(#[expect(dead_code, reason = "it is counted, not read")] Arc<()>);

enum State {
    New,
    Up { sender: SendRequest<Bytes>, number: u64 },
    Down { until: Instant, failures: u32, reason: String, number: u64 },
}

impl Link {
    pub(super) fn new(site: SiteName, address: String, stop: CancellationToken) -> Self {
        let state = Mutex::new(State::New);
        Self { site, address, state, dialling: tokio::sync::Mutex::default(), open: Arc::default(), stop }
    }

    /// Where a request can be handed to, after dialling if need be. While the agent is known to be down, fails at once.
    pub(super) async fn sender(
        self: &Arc<Self>,
        client: &Client,
    ) -> Result<(SendRequest<Bytes>, OpenExchange), String> {
        if let Some(known) = self.known() {
            return known;
        }
        let _dialling = match self.dialling.try_lock() {
            Ok(guard) => guard,
            Err(_) => match self.failing() {
                Some(reason) => return Err(reason),
                None => self.dialling.lock().await,
            },
        };
        if let Some(known) = self.known() {
            return known;
        }
        self.connect(client).await?;
        self.known().unwrap_or_else(|| Err("the link broke at once".to_owned()))
    }

    /// What is wrong with the link, if it is down.
    pub(super) fn trouble(&self) -> Option<String> {
        match &*self.lock() {
            State::Down { reason, .. } => Some(reason.clone()),
            State::New | State::Up { .. } => None,
        }
    }

    pub(super) fn close(&self) {
        self.stop.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> Option<Result<(SendRequest<Bytes>, OpenExchange), String>> {
        match &*self.lock() {
            State::Up { sender, .. } => {
                let most = sender.current_max_send_streams();
                // HTTP/2 would queue it, and nobody could tell any more whether it was sent.
                Some(if Arc::strong_count(&self.open) > most {
                    Err(format!("{most} exchanges with it are open, its limit"))
                } else {
                    Ok((sender.clone(), OpenExchange(self.open.clone())))
                })
            }
            State::Down { until, reason, .. } if Instant::now() < *until => Some(Err(reason.clone())),
            State::New | State::Down { .. } => None,
        }
    }

    fn failing(&self) -> Option<String> {
        match &*self.lock() {
            State::Down { failures, reason, .. } if *failures > 0 => Some(reason.clone()),
            _ => None,
        }
    }

    async fn connect(self: &Arc<Self>, client: &Client) -> Result<(), String> {
        let security = client.security.load_full();
        let dialled = timeout(client.limits.connect, dial(&self.site, &self.address, &security, &client.limits)).await;
        let dialled = match dialled {
            Ok(Ok(dialled)) => dialled,
            Ok(Err(error)) => return Err(self.dial_failed(client, error.to_string())),
            Err(_) => {
                let waited = client.limits.connect.as_secs_f32();
                return Err(self.dial_failed(client, format!("no connection within {waited} s")));
            }
        };
        client.counters.add(Count::Dialled);
        let number = self.up(dialled.sender.clone());
        let (link, counters) = (self.clone(), client.counters.clone());
        client.tasks.spawn(async move {
            let reason = drive(dialled, &link.stop).await;
            if !link.stop.is_cancelled() {
                counters.add(Count::LinkLost);
                tracing::info!(site = %link.site, address = link.address, reason, "the link to a peer is gone");
            }
            link.down(number, reason);
        });
        Ok(())
    }

    fn up(&self, sender: SendRequest<Bytes>) -> u64 {
        let mut state = self.lock();
        let number = match &*state {
            State::New => 1,
            State::Up { number, .. } | State::Down { number, .. } => number + 1,
        };
        *state = State::Up { sender, number };
        number
    }

    /// The connection of that number has ended; a newer one is left alone. The next request dials at once.
    fn down(&self, ended: u64, reason: String) {
        let mut state = self.lock();
        if matches!(&*state, State::Up { number, .. } if *number == ended) {
            *state = State::Down { until: Instant::now(), failures: 0, reason, number: ended };
        }
    }

    fn dial_failed(&self, client: &Client, reason: String) -> String {
        client.counters.add(Count::DialFailed);
        let mut state = self.lock();
        let (failures, number) = match &*state {
            State::New => (0, 0),
            State::Up { number, .. } => (0, *number),
            State::Down { failures, number, .. } => (*failures, *number),
        };
        if failures == 0 {
            tracing::info!(site = %self.site, address = self.address, reason, "a peer can't be reached");
        }
        *state = State::Down {
            until: Instant::now() + pause(failures),
            failures: failures + 1,
            reason: reason.clone(),
            number,
        };
        reason
    }
}

fn pause(failures: u32) -> Duration {
    let whole = SHORTEST_PAUSE.saturating_mul(1 << failures.min(8)).min(LONGEST_PAUSE);
    whole.mul_f64(rand::random_range(0.5..1.0))
}

/// Runs the connection until it ends, and returns why.
async fn drive(dialled: Dialled, stop: &CancellationToken) -> String {
    let Dialled { sender, connection, ping_pong } = dialled;
    // Else the connection would never be idle enough to end.
    drop(sender);
    tokio::select! {
        ended = connection => ended.err().map_or_else(|| "closed by the peer".to_owned(), |error| error.to_string()),
        reason = pulse::beat(ping_pong) => reason,
        () = stop.cancelled() => "closed by this agent".to_owned(),
    }
}
