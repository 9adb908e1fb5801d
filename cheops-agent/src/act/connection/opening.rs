//! A new connection: who speaks first, and what.

use tokio::time::Instant;

use super::Connection;
use super::close::Close;
use super::event::Event;
use super::next::head_late;
use crate::http::reply::{self, Manner};
use crate::http::sniff::is_worth_waiting;
use crate::http::{Sniffed, sniff};
use crate::observe::{Limit, Passthrough, Refused, request_id};

/// What a connection turned out to be.
pub(super) enum Opened {
    /// A request has begun to come, its first byte at this time.
    Http(Option<Instant>),
    /// Something else.
    Passes(Passthrough),
    /// It ended, or has to.
    Ends(Close),
}

/// How an unasked answer begins, such as a 408 of a service that waits no longer (AMENDMENTS of the design: 8).
const ANSWER: &[u8] = b"HTTP/1.";

impl Connection {
    /// Finds out what the connection is. A client that stays silent stays undecided, while the service is dialled and its
    /// bytes go on.
    pub(super) async fn open(&mut self) -> Opened {
        let mut moved = Instant::now();
        // Bytes that come one by one don't make the time for a head longer.
        let mut begun = None;
        let mut unasked = Vec::new();
        loop {
            match sniff(&self.client.pending) {
                Sniffed::Http1 => return Opened::Http(begun),
                Sniffed::Http2 => return Opened::Passes(Passthrough::Http2),
                Sniffed::Tls => return Opened::Passes(Passthrough::Tls),
                Sniffed::Other => return Opened::Passes(Passthrough::NotHttp),
                Sniffed::Undecided if self.client.pending.len() >= self.bounds.head_bytes => {
                    return Opened::Http(begun);
                }
                Sniffed::Undecided => {}
            }
            if self.client.ended() {
                return self.ended_undecided();
            }
            let deadline = self.undecided_until(moved, begun);
            match self.event(deadline, self.client.pending.is_empty()).await {
                Event::Client(Ok(_)) => {
                    moved = Instant::now();
                    begun = begun.or(Some(moved));
                }
                Event::Client(Err(_)) | Event::Service(Err(_)) => return Opened::Ends(Close::Reset),
                Event::Service(Ok(0)) => return Opened::Ends(Close::Finish),
                Event::Service(Ok(_)) => {
                    if let Some(opened) = self.service_first(&mut unasked).await {
                        return opened;
                    }
                }
                Event::Down => moved = Instant::now(),
                Event::Alarm => return self.still().await,
                Event::Drain => return Opened::Ends(Close::Fin),
            }
        }
    }

    /// When bytes that stand still are decided about without more of them.
    fn undecided_until(&self, moved: Instant, begun: Option<Instant>) -> Option<Instant> {
        if self.client.pending.is_empty() {
            // A client that waits for a service which is down to speak first would wait for ever.
            self.link.is_down().then(|| moved + self.shared.pace.still)
        } else if is_worth_waiting(&self.client.pending) {
            Some(begun.unwrap_or(moved) + self.bounds.header_read)
        } else {
            Some((moved + self.shared.pace.still).min(begun.unwrap_or(moved) + self.bounds.header_read))
        }
    }

    /// Nothing moved for as long as [`undecided_until`](Self::undecided_until) allows.
    async fn still(&mut self) -> Opened {
        if self.client.pending.is_empty() {
            return Opened::Ends(self.refuse(Refused::ServiceUnreachable));
        }
        if !is_worth_waiting(&self.client.pending) {
            return Opened::Passes(Passthrough::NotHttp);
        }
        self.shared.observer.limit(Limit::HeaderRead);
        let reply = reply::problem(&head_late(), &request_id(), Manner::UNREADABLE);
        Opened::Ends(if self.client.send(reply).await.is_ok() { Close::Fin } else { Close::Reset })
    }

    /// The client has ended before it said what it speaks: as a port check does.
    fn ended_undecided(&mut self) -> Opened {
        if !self.client.pending.is_empty() {
            return Opened::Passes(Passthrough::NotHttp);
        }
        if self.taken.session.is_some() { Opened::Ends(Close::Fin) } else { Opened::Passes(Passthrough::Silent) }
    }

    /// The service spoke before the client was understood: it isn't HTTP's service, unless it speaks of its own accord as
    /// HTTP has it. `unasked` is what it said before.
    async fn service_first(&mut self, unasked: &mut Vec<u8>) -> Option<Opened> {
        let service = self.link.up()?;
        if unasked.len() < ANSWER.len() {
            unasked.extend_from_slice(&service.pending);
        }
        let beginning = unasked.get(..ANSWER.len().min(unasked.len())).unwrap_or_default();
        if !ANSWER.starts_with(beginning) || self.taken.session.is_some() && beginning.len() < ANSWER.len() {
            return Some(Opened::Passes(Passthrough::ServerFirst));
        }
        let bytes = service.pending.split().freeze();
        self.client.send(bytes).await.is_err().then_some(Opened::Ends(Close::Reset))
    }
}
