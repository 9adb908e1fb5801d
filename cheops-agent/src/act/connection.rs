//! One client connection, from accept to close: what it speaks is found out, then each of its requests is decided about
//! afresh and served in order.
//!
//! Unscoped requests and everything that isn't HTTP go over the one connection that was dialled when the client was
//! accepted, and the two connections end as if they were one: an orderly close goes on as such, a reset as a reset. The
//! service's close reaches the client only between exchanges (AMENDMENTS of the design: 9).

mod close;
mod event;
mod issuer;
mod known;
mod log;
mod next;
mod opening;
mod request;

use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFutureOwned;

use self::close::Close;
pub(super) use self::close::{linger, reset};
use self::known::Known;
use self::opening::Opened;
use super::admission::Waiting;
use super::exchange::{Bounds, Side};
use super::link::Link;
use super::passthrough;
use super::shared::Shared;
use super::wire::Wire;
use crate::accept::Taken;
use crate::config::Config;
use crate::observe::{Limit, Passthrough, Refused};

/// A client's connection and its service's.
struct Connection {
    shared: Arc<Shared>,
    /// As it was when the connection came.
    config: Arc<Config>,
    taken: Taken,
    /// By which other sites' agents know its requests to be of one connection.
    number: u64,
    client: Wire<TcpStream>,
    link: Link,
    bounds: Bounds,
    known: Option<Known>,
    draining: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// Serves `stream`, which the kernel programs took, until it ends. It is `waiting` until its service has accepted.
pub async fn serve(shared: Arc<Shared>, stream: TcpStream, taken: Taken, waiting: Waiting) {
    let _open = shared.observer.connection();
    let mut connection = Connection::new(shared, stream, taken, waiting);
    let close = match connection.open().await {
        Opened::Http(begun) => connection.requests(begun).await,
        Opened::Passes(reason) => connection.pass(reason).await,
        Opened::Ends(close) => close,
    };
    connection.close(close).await;
}

impl Connection {
    fn new(shared: Arc<Shared>, stream: TcpStream, taken: Taken, waiting: Waiting) -> Self {
        let config = shared.config.load_full();
        let timeouts = &config.timeouts;
        Self {
            link: Link::dial(&shared, taken, Some(waiting)),
            bounds: Bounds::new(&config.limits, timeouts),
            config,
            taken,
            number: rand::random(),
            client: Wire::new(stream),
            known: None,
            draining: None,
            shared,
        }
    }

    /// Serves requests, the first of which has begun to come, until one of the ends closes.
    async fn requests(&mut self, mut begun: Option<Instant>) -> Close {
        loop {
            let head = match self.next_head(begun.take()).await {
                Ok(head) => head,
                Err(close) => return close,
            };
            if let Err(close) = self.serve_request(&head).await {
                return close;
            }
        }
    }

    /// Passes everything on, if nothing forbids it.
    async fn pass(&mut self, reason: Passthrough) -> Close {
        if self.taken.session.is_some() {
            return self.refuse(Refused::ScopeNotHonoured);
        }
        match self.link.wire().await {
            Ok(Some(_)) => self.tunnel(reason).await,
            Ok(None) => Close::Fin,
            Err(error) => {
                let reason = request::refusal(error);
                self.refuse(reason)
            }
        }
    }

    /// A tunnel between the two ends, until both have closed.
    async fn tunnel(&mut self, reason: Passthrough) -> Close {
        let Some(service) = self.link.up() else { return Close::Fin };
        let _open = self.shared.observer.passthrough(reason);
        let passed = passthrough::tunnel(&mut self.client, service, self.config.timeouts.half_closed).await;
        if passed.still {
            self.shared.observer.limit(Limit::HalfClosed);
        }
        self.shared.observer.tunnel_bytes(passed.from_client, passed.to_client);
        match passed.broken {
            Some((Side::Client | Side::Service, _)) => Close::Reset,
            None => Close::Fin,
        }
    }

    fn refuse(&self, reason: Refused) -> Close {
        self.shared.observer.refused(reason);
        if let (Refused::ScopeNotHonoured, Some(session)) = (reason, self.taken.session) {
            // Its command has replaced `cheops exec`: this is where its user finds out why.
            tracing::warn!(session = session.0, to = %self.taken.orig, client = %self.taken.client,
                "a connection of an exec session can't carry its scope, and is reset");
        }
        Close::Reset
    }
}

#[cfg(test)]
mod tests;
