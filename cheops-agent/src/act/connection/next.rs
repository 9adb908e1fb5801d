//! Between two exchanges: the next request's head is awaited.

use bytes::BytesMut;
use tokio::time::Instant;

use super::Connection;
use super::close::Close;
use super::event::Event;
use super::log::Log;
use crate::http::framing::HeadEnd;
use crate::http::reply::{self, Manner};
use crate::http::{Code, FramingError, Problem, RequestHead};
use crate::observe::Limit;

impl Connection {
    /// The next request's head, of which the first byte came at `begun`, if it has come.
    ///
    /// # Errors
    /// How the connection ends when none comes, or one that is not well-formed.
    pub(super) async fn next_head(&mut self, mut begun: Option<Instant>) -> Result<RequestHead, Close> {
        let mut end = HeadEnd::default();
        let idle = self.config.timeouts.idle;
        let since = Instant::now();
        if self.link.up().is_some_and(|service| !service.pending.is_empty()) {
            // What came behind the last answer is not the answer to a request that the service doesn't have yet.
            self.unasked().await?;
        }
        loop {
            if !self.client.pending.is_empty() {
                match end.find(&self.client.pending, self.bounds.head_bytes) {
                    Ok(Some(length)) => return self.take_head(length).await,
                    Ok(None) => {}
                    Err(error) => return Err(self.malformed(error).await),
                }
            }
            let between = !end.has_line() && is_blank(&self.client.pending);
            if between {
                self.client.rest();
                if self.client.ended() || self.link.is_ended() {
                    return Err(Close::Finish);
                }
            } else if self.client.ended() {
                // A piece of a head: nobody can make anything of it.
                return Err(Close::Fin);
            }
            let deadline = if between {
                (!idle.is_zero()).then(|| since + idle)
            } else {
                Some(*begun.get_or_insert_with(Instant::now) + self.bounds.header_read)
            };
            match self.event(deadline, between).await {
                Event::Client(Ok(_)) | Event::Down => {}
                Event::Client(Err(_)) => return Err(Close::Reset),
                Event::Service(Err(_)) if between => return Err(Close::Reset),
                Event::Service(Ok(0)) if between => return Err(Close::Finish),
                // The request that is coming may not be for this service.
                Event::Service(Err(_) | Ok(0)) => self.link.end(),
                Event::Service(Ok(_)) => self.unasked().await?,
                Event::Alarm if between => {
                    self.shared.observer.limit(Limit::Idle);
                    return Err(Close::Fin);
                }
                Event::Alarm => return Err(self.late().await),
                Event::Drain => return Err(Close::Fin),
            }
        }
    }

    async fn take_head(&mut self, length: usize) -> Result<RequestHead, Close> {
        let raw = self.client.pending.split_to(length).freeze();
        match RequestHead::parse(raw, self.config.limits.headers) {
            Ok(head) => Ok(head),
            Err(error) => Err(self.malformed(error).await),
        }
    }

    /// The service said something that nobody asked for. The client gets it, and after it no request is read, as where the
    /// next answer begins is not known. An empty line is nothing.
    async fn unasked(&mut self) -> Result<(), Close> {
        let Some(service) = self.link.up() else { return Ok(()) };
        if !is_blank(&service.pending) {
            return Err(Close::Finish);
        }
        let blank: BytesMut = service.pending.split();
        self.client.send(blank.freeze()).await.map_err(|_| Close::Reset)
    }

    /// Answers a head that can't be read, and ends the connection: where another request would begin isn't known.
    async fn malformed(&mut self, error: FramingError) -> Close {
        if let Some(limit) = error.limit() {
            self.shared.observer.limit(limit);
        }
        self.unreadable(&error.of_request()).await
    }

    async fn late(&mut self) -> Close {
        self.shared.observer.limit(Limit::HeaderRead);
        self.unreadable(&head_late()).await
    }

    async fn unreadable(&mut self, problem: &Problem) -> Close {
        let log = Log::unreadable(self);
        let reply = reply::problem(problem, log.id(), Manner::UNREADABLE);
        let sent = self.client.send(reply).await;
        log.refused(self, problem);
        if sent.is_ok() { Close::Fin } else { Close::Reset }
    }
}

/// What a client is told whose request's head came too slowly.
pub(super) fn head_late() -> Problem {
    Problem::at_limit(Code::RequestTimeout, "the request's head did not come whole in time", Limit::HeaderRead)
}

/// Whether there is nothing but empty lines.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}
