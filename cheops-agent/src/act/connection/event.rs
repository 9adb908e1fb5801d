//! What may happen on a connection while no exchange runs.

use std::io;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::Connection;

/// One thing that happened.
#[derive(Debug)]
pub(super) enum Event {
    /// Bytes of the client were read; 0: it has ended.
    Client(io::Result<usize>),
    /// Bytes of the service were read; 0: it has ended.
    Service(io::Result<usize>),
    /// The service did not accept.
    Down,
    /// The deadline has passed.
    Alarm,
    /// The agent is shutting down.
    Drain,
}

impl Connection {
    /// The next thing that happens. `drain` says whether it may interrupt here.
    pub(super) async fn event(&mut self, deadline: Option<Instant>, drain: bool) -> Event {
        std::future::poll_fn(|cx| self.poll_event(cx, deadline, drain)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>, drain: bool) -> Poll<Event> {
        let was_down = self.link.is_down();
        if self.link.poll_dialled(cx).is_ready() && self.link.is_down() && !was_down {
            return Poll::Ready(Event::Down);
        }
        if !self.client.ended()
            && self.client.pending.len() < self.bounds.pipelined.max(self.bounds.head_bytes)
            && let Poll::Ready(read) = self.client.poll_fill(cx)
        {
            return Poll::Ready(Event::Client(read));
        }
        if let Some(service) = self.link.up()
            && !service.ended()
            && let Poll::Ready(read) = service.poll_fill(cx)
        {
            return Poll::Ready(Event::Service(read));
        }
        if self.client.alarm.poll(cx, deadline).is_ready() {
            return Poll::Ready(Event::Alarm);
        }
        if drain {
            let shared = &self.shared;
            let draining = self.draining.get_or_insert_with(|| Box::pin(shared.drain.clone().cancelled_owned()));
            if draining.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Drain);
            }
        }
        Poll::Pending
    }
}
