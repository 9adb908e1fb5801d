//! The two directions of an exchange, polled together in one task.

mod down;
mod up;

use std::io;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::Instant;

use super::{Answering, Bounds, Cause, ExchangeError, Finished, Next, Reached, Sending, Side};
use crate::act::splice::Splice;
use crate::act::stream::Stream;
use crate::act::wire::Wire;
use crate::http::framing::HeadEnd;
use crate::http::{Body, BodyLength};
use crate::observe::Limit;

/// A running exchange.
pub(super) struct Relay<'a, 'j, C, S> {
    client: &'a mut Wire<C>,
    service: &'a mut Wire<S>,
    sending: Sending<'a>,
    answering: Answering<'j>,
    bounds: Bounds,
    up: Up,
    down: Down,
}

/// The request's way. Its head's rest is in `sending.head`.
struct Up {
    body: Body,
    /// Bytes pending at the client that belong to the body and were not yet written.
    ready: usize,
    state: UpState,
    begun: bool,
    bytes: u64,
    splice: Splice,
    /// Since when the client owes bytes.
    starving: Option<Instant>,
    /// Why the service takes nothing more.
    error: Option<io::Error>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum UpState {
    Going,
    Done,
    /// The client ended inside its body, or the service takes nothing more. It may still answer.
    Broken,
}

/// The answers' way.
struct Down {
    /// A head that takes the place of the service's own; written before what is ready.
    head: Bytes,
    end: HeadEnd,
    body: Body,
    /// Bytes pending at the service that belong to the answer, its head with them, and were not yet written.
    ready: usize,
    state: DownState,
    /// The final answer's; 0 before it came.
    status: u16,
    persists: bool,
    /// The client was told that the connection ends.
    closing: bool,
    begun: bool,
    interim: bool,
    bytes: u64,
    splice: Splice,
    /// Since when the service owes an answer; kept only when there is a limit to it.
    owing: Option<Instant>,
    /// Since when the service owes a head's rest.
    partial: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DownState {
    Head,
    Body,
    Done,
}

impl<'a, 'j, C, S> Relay<'a, 'j, C, S>
where
    C: Stream,
    S: Stream,
{
    pub(super) fn new(
        client: &'a mut Wire<C>,
        service: &'a mut Wire<S>,
        sending: Sending<'a>,
        answering: Answering<'j>,
        bounds: Bounds,
    ) -> Self {
        let body = Body::within(sending.request.length(), bounds.around);
        let up = Up {
            body,
            ready: 0,
            state: UpState::Going,
            begun: false,
            bytes: 0,
            splice: Splice::default(),
            starving: None,
            error: None,
        };
        let down = Down {
            head: Bytes::new(),
            end: HeadEnd::default(),
            body: Body::new(BodyLength::None),
            ready: 0,
            state: DownState::Head,
            status: 0,
            persists: true,
            closing: false,
            begun: false,
            interim: false,
            bytes: 0,
            splice: Splice::default(),
            owing: answering.begin_within.map(|_| Instant::now()),
            partial: None,
        };
        Self { client, service, sending, answering, bounds, up, down }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Finished, ExchangeError>> {
        let step = self.step(cx);
        match step {
            Ok(Some(finished)) => Poll::Ready(Ok(finished)),
            Ok(None) => Poll::Pending,
            Err((side, cause)) => Poll::Ready(Err(self.fail(side, cause))),
        }
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Result<Option<Finished>, (Side, Cause)> {
        self.poll_up(cx)?;
        self.poll_down(cx)?;
        self.watch_client(cx)?;
        if let Some(finished) = self.finished() {
            if finished.next == Next::Tunnel {
                self.hand_back().map_err(|error| (Side::Client, error.into()))?;
            }
            return Ok(Some(finished));
        }
        if self.down.state == DownState::Done && self.is_over(cx) {
            self.up.state = UpState::Broken;
            return Ok(self.finished());
        }
        self.poll_alarm(cx)?;
        Ok(None)
    }

    fn finished(&self) -> Option<Finished> {
        if self.down.state != DownState::Done {
            return None;
        }
        let next = match (self.left_http(), self.up.state) {
            (true, _) => Next::Tunnel,
            (false, UpState::Going) => return None,
            (false, UpState::Broken) => Next::End,
            (false, UpState::Done) if self.down.closing => Next::Closing,
            (false, UpState::Done) if self.persists() => Next::Request,
            (false, UpState::Done) => Next::End,
        };
        Some(Finished { status: self.down.status, bytes_in: self.up.bytes, bytes_out: self.down.bytes, next })
    }

    fn persists(&self) -> bool {
        self.down.persists && self.sending.request.persists() && !self.client.is_shut()
    }

    /// RFC 9110, 15.2.2 and 9.3.6.
    fn left_http(&self) -> bool {
        let connected = self.sending.request.method() == "CONNECT" && self.down.status / 100 == 2;
        self.down.status == 101 || connected
    }

    /// The service may leave HTTP before it has the request whole (RFC 9110, 7.8). What was taken from the client and has
    /// not left is the first to go on in the tunnel.
    fn hand_back(&mut self) -> io::Result<()> {
        if self.sending.head.is_empty() && self.up.splice.inside() == 0 {
            return Ok(());
        }
        let mut first = BytesMut::from(self.sending.head.split_off(0));
        self.up.splice.take_back(&mut first)?;
        first.extend_from_slice(&self.client.pending);
        self.client.pending = first;
        Ok(())
    }

    fn fail(&mut self, side: Side, cause: Cause) -> ExchangeError {
        if self.sending.kept.is_some() {
            // These were kept when they were scanned.
            self.client.pending.advance(self.up.ready.min(self.client.pending.len()));
            self.up.ready = 0;
        }
        let reached = match (self.down.begun, self.up.begun) {
            (true, _) => Reached::AnswerBegun,
            (false, true) => Reached::Sent,
            (false, false) => Reached::Nothing,
        };
        let left = self.up.ready + self.up.splice.inside();
        ExchangeError { side, reached, cause, body_taken: self.up.body.is_done() && left == 0 }
    }

    /// Waits for the nearest deadline, if there is one.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Result<(), (Side, Cause)> {
        let head = self.down.partial.map(|since| (since, self.bounds.header_read, Limit::HeaderRead));
        let answer =
            self.down.owing.zip(self.answering.begin_within).map(|(since, within)| (since, within, Limit::Exchange));
        let request = self.up.starving.map(|since| (since, self.bounds.body_read, Limit::BodyRead));
        let nearest = [head, answer, request].into_iter().flatten().min_by_key(|(since, allowed, _)| *since + *allowed);
        let Some((since, allowed, limit)) = nearest else { return Ok(()) };
        let side = if limit == Limit::BodyRead { Side::Client } else { Side::Service };
        match self.client.alarm.poll(cx, Some(since + allowed)) {
            Poll::Ready(()) => Err((side, Cause::Timeout(limit, allowed))),
            Poll::Pending => Ok(()),
        }
    }
}
