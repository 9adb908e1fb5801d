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
pub struct Link {
    state: State,
    /// Whether dialling has begun.
    begun: bool,
}

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
            let down = State::Down(DialError::Pending(taken.orig.get()));
            return Self { state: down, begun: false };
        };
        let shared = Arc::clone(shared);
        let dial = async move {
            let _waiting = waiting;
            let dialling = Dialling::new(shared.mark, &shared.config.load().timeouts);
            let own = shared.own.load_full();
            let dialled = dial(&*shared.origins, taken.orig.get(), taken.client, &own, dialling).await;
            if let Some(limit) = dialled.as_ref().err().and_then(DialError::limit) {
                shared.observer.limit(limit);
            }
            dialled
        };
        Self { state: State::Dialling(Box::pin(dial)), begun: false }
    }

    /// Ready once it is known whether the service accepted.
    pub fn poll_dialled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Dialling(dial) = &mut self.state {
            self.begun = true;
            self.state = match ready!(dial.as_mut().poll(cx)) {
                Ok(stream) => State::Up(Box::new(Wire::connected(stream))),
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
        match &mut self.state {
            State::Up(wire) => Ok(Some(wire)),
            State::Down(error) => Err(error),
            State::Dialling(_) | State::Ended => Ok(None),
        }
    }

    /// Waits until it is known whether the service accepted, if it was dialled.
    pub async fn settled(&mut self) {
        if self.begun {
            std::future::poll_fn(|cx| self.poll_dialled(cx)).await;
        }
    }

    /// The connection, if the service has accepted and it has not ended.
    pub fn up(&mut self) -> Option<&mut Wire<TcpStream>> {
        match &mut self.state {
            State::Up(wire) => Some(wire),
            _ => None,
        }
    }

    /// Whether the service didn't accept.
    pub fn is_down(&self) -> bool {
        matches!(self.state, State::Down(_))
    }

    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Lets the connection go.
    pub fn end(&mut self) {
        self.state = State::Ended;
    }
}
