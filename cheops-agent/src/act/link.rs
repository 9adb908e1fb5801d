//! A client connection's one connection to the service that it addressed: dialled when the client is accepted, kept as
//! long as the client's.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::admission::Waiting;
use super::shared::Shared;
use super::upstream::{DialError, Dialling, dial};
use super::wire::Wire;
use crate::accept::Taken;
use crate::observe::Limit;

type Dial = Pin<Box<dyn Future<Output = Result<TcpStream, DialError>> + Send>>;

/// The way to the service, in whatever state it is.
pub struct Link(State);

enum State {
    Dialling(Dial),
    Up(Box<Wire<TcpStream>>),
    Down(DialError),
    /// The service closed it, or an exchange on it failed.
    Ended,
}

impl Link {
    /// Begins to dial the address that the client connected to, if it has a place among those that wait. Nothing happens
    /// before it is polled.
    pub fn dial(shared: &Arc<Shared>, taken: Taken, waiting: Option<Waiting>) -> Self {
        let Some(waiting) = waiting else {
            shared.observer.limit(Limit::Pending);
            return Self(State::Down(DialError::Pending(taken.orig.get())));
        };
        let shared = Arc::clone(shared);
        Self(State::Dialling(Box::pin(async move {
            let _waiting = waiting;
            let dialling = Dialling::new(shared.mark, &shared.config.load().timeouts);
            let own = shared.own.load_full();
            let dialled = dial(&*shared.origins, taken.orig.get(), taken.client, &own, dialling).await;
            if let Some(limit) = dialled.as_ref().err().and_then(DialError::limit) {
                shared.observer.limit(limit);
            }
            dialled
        })))
    }

    /// Ready once it is known whether the service accepted.
    pub fn poll_dialled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Dialling(dial) = &mut self.0 {
            self.0 = match ready!(dial.as_mut().poll(cx)) {
                Ok(stream) => State::Up(Box::new(Wire::new(stream))),
                Err(error) => State::Down(error),
            };
        }
        Poll::Ready(())
    }

    /// The connection, once it is known whether the service accepted. `Ok(None)`: there was one, and it has ended.
    ///
    /// # Errors
    /// Why the service can't be reached.
    pub async fn wire(&mut self) -> Result<Option<&mut Wire<TcpStream>>, &DialError> {
        std::future::poll_fn(|cx| self.poll_dialled(cx)).await;
        match &mut self.0 {
            State::Up(wire) => Ok(Some(wire)),
            State::Down(error) => Err(error),
            State::Dialling(_) | State::Ended => Ok(None),
        }
    }

    /// The connection, if the service has accepted and it has not ended.
    pub fn up(&mut self) -> Option<&mut Wire<TcpStream>> {
        match &mut self.0 {
            State::Up(wire) => Some(wire),
            _ => None,
        }
    }

    /// Whether the service didn't accept.
    pub fn is_down(&self) -> bool {
        matches!(self.0, State::Down(_))
    }

    pub fn is_ended(&self) -> bool {
        matches!(self.0, State::Ended)
    }

    /// Lets the connection go.
    pub fn end(&mut self) {
        self.0 = State::Ended;
    }
}
