//! One agent's link: made when it is needed, kept, given up when it is silent, and not asked again too soon.
//!
//! An agent that could not be reached, or has gone silent, is dialled by probes alone: a request would have to wait for
//! that. It is refused at once until a probe has found the agent again.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Client;
use super::dial::{Dialled, dial, end_reason};
use crate::metadata::record;
use crate::names::SiteName;
use crate::peer::counters::{Count, Counters};
use crate::peer::pulse;
use crate::peer::stream::OpenExchange;
use crate::peer::trust::{Security, Shown};

/// After a first failure; doubled with each further one, and jittered down to its half.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// A site that is back is found after this at the latest.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The link to one agent.
pub(super) struct Link {
    site: SiteName,
    address: String,
    state: Mutex<State>,
    /// Held while it is dialled.
    dialling: Arc<tokio::sync::Mutex<()>>,
    /// The number of its clones is the number of exchanges that are open.
    open: Arc<()>,
    stop: CancellationToken,
}

/// For whom the link is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A client waits for it.
    Request,
    /// Nobody does: it may take its time.
    Probe,
}

/// Why a request can't be handed over.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) reason: String,
    /// The agent is there, and has as many exchanges open as it takes.
    pub(super) busy: bool,
}

impl Trouble {
    pub(super) fn down(reason: String) -> Self {
        Self { reason, busy: false }
    }
}

/// Where a request can be handed to.
pub(super) struct Way {
    pub(super) sender: SendRequest<Bytes>,
    pub(super) open: OpenExchange,
    /// Its connection's.
    pub(super) number: u64,
}

/// With what a link was made.
#[derive(Clone)]
struct Made {
    security: Arc<Security>,
    /// The other's certificate; none without TLS.
    shown: Option<Shown>,
}

impl Made {
    /// Whether a new link would show, or be shown, other certificates: this agent has another one, or the other's is in
    /// the last part of its life, so that it has another one by now.
    fn is_old(&self, security: &Arc<Security>) -> bool {
        let last = |shown: &Shown| {
            let end = u64::try_from(shown.not_after).unwrap_or_default().saturating_mul(1000);
            let part = u64::try_from(shown.life().as_millis() / 6).unwrap_or(u64::MAX);
            record::now() > end.saturating_sub(part)
        };
        !Arc::ptr_eq(&self.security, security) || self.shown.as_ref().is_some_and(last)
    }

    /// Resolves when the other's certificate is revoked.
    async fn revoked(&self) {
        match (&*self.security, &self.shown) {
            (Security::Tls(trust), Some(shown)) => trust.revoked.come(shown).await,
            _ => std::future::pending().await,
        }
    }
}

/// Waits until the other's certificate has expired; see [`Made`].
async fn expired(made: &Made) {
    let Some(shown) = &made.shown else { return std::future::pending().await };
    let end = u64::try_from(shown.not_after).unwrap_or_default().saturating_mul(1000);
    // Whoever has a better one by then is dialled anew before that.
    tokio::time::sleep(Duration::from_millis(end.saturating_sub(record::now()))).await;
}

enum State {
    New,
    Up { sender: SendRequest<Bytes>, number: u64, made: Made },
    Down { until: Instant, failures: u32, reason: String, number: u64 },
}

impl Link {
    pub(super) fn new(site: SiteName, address: String, stop: CancellationToken) -> Self {
        let state = Mutex::new(State::New);
        Self { site, address, state, dialling: Arc::default(), open: Arc::default(), stop }
    }

    /// Where a request can be handed to, after dialling if need be. While the agent is known to be down, fails at once.
    pub(super) async fn sender(self: &Arc<Self>, client: &Client, asker: Asker) -> Result<Way, Trouble> {
        if let Some(known) = self.known(asker) {
            // Nobody waits for a probe's link: it is made anew here, and requests go on over the one that is there.
            if asker == Asker::Probe
                && self.is_old(client)
                && let Ok(dialling) = self.dialling.clone().try_lock_owned()
            {
                client.tasks.spawn(self.clone().connect(client, dialling));
            }
            return known;
        }
        if let Ok(dialling) = self.dialling.clone().try_lock_owned() {
            if let Some(known) = self.known(asker) {
                return known;
            }
            // Its own task: whoever asked first may give up before it is known how the dial ends.
            client.tasks.spawn(self.clone().connect(client, dialling));
        }
        let dialled = self.dialling.lock().await;
        drop(dialled);
        self.known(asker).unwrap_or_else(|| Err(Trouble::down("the link broke at once".to_owned())))
    }

    /// What is wrong with the link, if it is down.
    pub(super) fn trouble(&self) -> Option<String> {
        match &*self.lock() {
            State::Down { reason, .. } => Some(reason.clone()),
            State::New | State::Up { .. } => None,
        }
    }

    /// Whether exchanges are open on it.
    pub(super) fn is_busy(&self) -> bool {
        Arc::strong_count(&self.open) > 1
    }

    pub(super) fn close(&self) {
        self.stop.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_old(&self, client: &Client) -> bool {
        matches!(&*self.lock(), State::Up { made, .. } if made.is_old(&client.security.load()))
    }

    fn known(&self, asker: Asker) -> Option<Result<Way, Trouble>> {
        match &*self.lock() {
            State::Up { sender, number, .. } => {
                let most = sender.current_max_send_streams();
                // HTTP/2 would queue it, and nobody could tell any more whether it was sent.
                Some(if Arc::strong_count(&self.open) > most {
                    Err(Trouble { reason: format!("{most} exchanges with it are open, its limit"), busy: true })
                } else {
                    Ok(Way { sender: sender.clone(), open: OpenExchange::new(&self.open), number: *number })
                })
            }
            State::Down { failures, reason, .. } if *failures > 0 && asker == Asker::Request => {
                Some(Err(Trouble::down(reason.clone())))
            }
            State::Down { until, reason, .. } if Instant::now() < *until => Some(Err(Trouble::down(reason.clone()))),
            State::New | State::Down { .. } => None,
        }
    }

    /// Dials, holding `dialling` until the outcome is known, and looks after the connection from then on.
    fn connect(self: Arc<Self>, client: &Client, dialling: OwnedMutexGuard<()>) -> impl Future<Output = ()> + use<> {
        let (security, limits) = (client.security.load_full(), client.limits);
        let counters = client.counters.clone();
        async move {
            let dialled = tokio::select! {
                dialled = timeout(limits.connect, dial(&self.site, &self.address, &security, &limits)) => dialled,
                () = self.stop.cancelled() => return,
            };
            let dialled = match dialled {
                Ok(Ok(dialled)) => dialled,
                Ok(Err(error)) => return self.dial_failed(&counters, error.to_string()),
                Err(_) => {
                    let waited = limits.connect.as_secs_f32();
                    return self.dial_failed(&counters, format!("no connection within {waited} s"));
                }
            };
            counters.add(Count::Dialled);
            let made = Made { security, shown: dialled.shown.clone() };
            let number = self.up(dialled.sender.clone(), made.clone());
            drop(dialling);
            // What is open then may end well; what comes next has to find somebody who is believed.
            let no_more = async {
                expired(&made).await;
                self.leave(number);
                std::future::pending::<End>().await
            };
            let end = tokio::select! {
                end = drive(dialled, &self.stop) => end,
                never = no_more => never,
                () = made.revoked() => End { reason: "its certificate was revoked".to_owned(), silent: true },
            };
            if !self.stop.is_cancelled() && self.is(number) {
                counters.add(Count::LinkLost);
                tracing::info!(site = %self.site, address = self.address, reason = end.reason, "the link to a peer is gone");
            }
            self.down(number, end);
        }
    }

    fn up(&self, sender: SendRequest<Bytes>, made: Made) -> u64 {
        let mut state = self.lock();
        let number = match &*state {
            State::New => 1,
            State::Up { number, .. } | State::Down { number, .. } => number + 1,
        };
        *state = State::Up { sender, number, made };
        number
    }

    /// The connection of that number takes nothing new: its agent is about to go, and finishes what is open, be that a watch of
    /// hours. The next request dials, whoever listens there now.
    pub(super) fn leave(&self, left: u64) {
        let mut state = self.lock();
        if matches!(&*state, State::Up { number, .. } if *number == left) {
            let reason = "its agent takes no more exchanges on this link".to_owned();
            *state = State::Down { until: Instant::now(), failures: 0, reason, number: left };
        }
    }

    /// Whether the connection of that number is the one that requests go over.
    fn is(&self, number: u64) -> bool {
        matches!(&*self.lock(), State::Up { number: current, .. } if *current == number)
    }

    /// The connection of that number has ended; a newer one is left alone. If its agent closed it, the next request
    /// dials at once: the agent was restarted, perhaps.
    fn down(&self, ended: u64, end: End) {
        let mut state = self.lock();
        if matches!(&*state, State::Up { number, .. } if *number == ended) {
            let failures = u32::from(end.silent);
            *state = State::Down { until: Instant::now(), failures, reason: end.reason, number: ended };
        }
    }

    fn dial_failed(&self, counters: &Counters, reason: String) {
        counters.add(Count::DialFailed);
        let mut state = self.lock();
        let (failures, number) = match &*state {
            State::New => (0, 0),
            State::Up { .. } => {
                // The link that is there still does.
                tracing::info!(site = %self.site, address = self.address, reason, "a peer's link can't be renewed");
                return;
            }
            State::Down { failures, number, .. } => (*failures, *number),
        };
        if failures == 0 {
            tracing::info!(site = %self.site, address = self.address, reason, "a peer can't be reached");
        }
        *state = State::Down {
            until: Instant::now() + pause(failures),
            failures: failures.saturating_add(1),
            reason,
            number,
        };
    }
}

fn pause(failures: u32) -> Duration {
    let whole = SHORTEST_PAUSE.saturating_mul(1 << failures.min(8)).min(LONGEST_PAUSE);
    whole.mul_f64(rand::random_range(0.5..1.0))
}

/// How a connection ended.
struct End {
    reason: String,
    /// Nobody answers there any more, as far as can be seen.
    silent: bool,
}

/// Runs the connection until it ends.
async fn drive(dialled: Dialled, stop: &CancellationToken) -> End {
    let Dialled { sender, connection, ping_pong, .. } = dialled;
    // Else the connection would never be idle enough to end.
    drop(sender);
    tokio::select! {
        biased;
        ended = connection => {
            let timed_out = |error: &h2::Error| error.get_io().is_some_and(|error| error.kind() == ErrorKind::TimedOut);
            let silent = ended.as_ref().is_err_and(timed_out);
            let reason = ended.err().map_or_else(|| "closed by the peer".to_owned(), end_reason);
            End { reason, silent }
        }
        reason = pulse::beat(ping_pong) => End { reason, silent: true },
        () = stop.cancelled() => End { reason: "closed by this agent".to_owned(), silent: false },
    }
}
