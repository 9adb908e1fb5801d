//! Connections to services that wait a moment for the next request of the client connection that they were dialled for.
//!
//! A client that keeps its connection open expects its service to keep one for it. At another site its requests arrive
//! one by one, as exchanges of the same link; what they name as their client's connection brings them back to the same
//! connection here, and to no other client's. A connection waits for a moment only, far shorter than services keep idle
//! connections, and is looked at before it is used again; since a service may close it all the same at that very moment,
//! only requests that may be sent twice are sent over it.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::exchange::{Cause, ExchangeError, Reached, Side};
use crate::http::{BodyLength, RequestHead};
use crate::metadata::Endpoint;
use crate::peer::Call;

/// How long a connection waits at least, and between two looks at those that have waited.
const MOMENT: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(250);
/// Connections that wait at the same time; what would be more is closed.
const MOST: usize = 4096;

/// Whose connection it is, and to where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    from: String,
    connection: u64,
    endpoint: String,
}

impl Key {
    /// None if the peer doesn't say which client connection the exchange belongs to.
    pub(super) fn of(call: &Call, endpoint: &Endpoint) -> Option<Self> {
        Some(Self {
            from: call.from.to_string(),
            connection: call.envelope.connection?,
            endpoint: format!("{}{}", endpoint.authority, endpoint.prefix),
        })
    }
}

/// The connections that wait.
#[derive(Debug, Default)]
pub struct Parked(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    by_key: HashMap<Key, (Instant, TcpStream)>,
    /// Somebody looks after them.
    swept: bool,
}

impl Parked {
    /// The connection that waits for this client connection, if the service has neither closed it nor said anything.
    pub(super) fn take(&self, key: &Key) -> Option<TcpStream> {
        let (_, stream) = self.lock().by_key.remove(key)?;
        is_quiet(&stream).then_some(stream)
    }

    /// Lets the connection wait. Whoever comes first looks after all that wait, until none does or `stop`; the others
    /// return at once.
    pub(super) async fn keep(&self, key: Key, stream: TcpStream, stop: &CancellationToken) {
        if stop.is_cancelled() || !self.put(key, stream) {
            return;
        }
        let mut last = Last(Some(self));
        let mut looks = tokio::time::interval(LOOK);
        while self.any() {
            tokio::select! {
                _ = looks.tick() => {}
                () = stop.cancelled() => return,
            }
            self.lock().by_key.retain(|_, (since, _)| since.elapsed() < MOMENT);
        }
        last.0 = None;
    }

    /// Whether nobody looks after those that wait, but whoever asks.
    fn put(&self, key: Key, stream: TcpStream) -> bool {
        let mut waiting = self.lock();
        if waiting.by_key.len() >= MOST {
            return false;
        }
        waiting.by_key.insert(key, (Instant::now(), stream));
        !std::mem::replace(&mut waiting.swept, true)
    }

    /// If there is none, nobody looks after them any more.
    fn any(&self) -> bool {
        let mut waiting = self.lock();
        waiting.swept = !waiting.by_key.is_empty();
        waiting.swept
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody looks any more after those that wait: none waits on.
struct Last<'a>(Option<&'a Parked>);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        if let Some(parked) = self.0 {
            *parked.lock() = Waiting::default();
        }
    }
}

/// Whether a request may go over a connection that was used before: it does no harm when it is run twice, and can be
/// sent again whole (RFC 9112, 9.3.1).
pub(super) fn may_carry(request: &RequestHead) -> bool {
    matches!(request.method(), "GET" | "HEAD" | "OPTIONS")
        && request.length() == BodyLength::None
        && !request.upgrades()
}

/// Whether it failed as it does when the service was closing the connection.
pub(super) fn was_closing(error: &ExchangeError) -> bool {
    error.side == Side::Service
        && error.reached != Reached::AnswerBegun
        && matches!(error.cause, Cause::Closed | Cause::Io(_))
}

/// Asks the socket itself: what tokio knows of it may be a moment old.
fn is_quiet(stream: &TcpStream) -> bool {
    let looked = SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
    looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    fn key(connection: u64) -> Key {
        Key { from: "cheops://edge/Berlin/b1".to_owned(), connection, endpoint: "10.0.0.1:80".to_owned() }
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (ours, service) = tokio::join!(TcpStream::connect(address), listener.accept());
        (ours.expect("connected"), service.expect("accepted").0)
    }

    #[tokio::test]
    async fn a_connection_comes_back_to_its_own_client_connection_only_and_once() {
        let (parked, stop) = (Parked::default(), CancellationToken::new());
        let (ours, _service) = pair().await;
        let kept = parked.keep(key(1), ours, &stop);
        let asked = async {
            assert!(parked.take(&key(2)).is_none(), "another client's");
            assert!(parked.take(&key(1)).is_some());
            assert!(parked.take(&key(1)).is_none(), "it is in use");
            stop.cancel();
        };
        tokio::join!(kept, asked);
    }

    #[tokio::test]
    async fn a_connection_on_which_the_service_did_anything_is_not_used() {
        let parked = Parked::default();
        for closes in [true, false] {
            let (ours, mut service) = pair().await;
            parked.put(key(1), ours);
            if closes {
                drop(service);
            } else {
                service.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.expect("written");
            }
            assert!(parked.take(&key(1)).is_none());
        }
    }

    #[tokio::test]
    async fn it_waits_for_a_moment() {
        let (parked, stop) = (Parked::default(), CancellationToken::new());
        let (ours, _service) = pair().await;
        parked.keep(key(1), ours, &stop).await;
        assert!(parked.lock().by_key.is_empty(), "closed, though nobody asked for it");
    }

    #[tokio::test]
    async fn one_looks_after_all_and_when_it_goes_none_is_left() {
        let (parked, stop) = (Parked::default(), CancellationToken::new());
        let ((one, _service), (other, _other)) = (pair().await, pair().await);
        {
            let mut first = Box::pin(parked.keep(key(1), one, &stop));
            assert!(futures_util::poll!(&mut first).is_pending());
            parked.keep(key(2), other, &stop).await;
            assert_eq!(parked.lock().by_key.len(), 2);
        }
        assert!(parked.lock().by_key.is_empty());
        let (again, _service) = pair().await;
        assert!(parked.put(key(3), again), "the next one looks after it");
    }
}
