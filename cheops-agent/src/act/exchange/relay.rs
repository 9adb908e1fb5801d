//! The two directions of an exchange, polled together in one task.

use std::io;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Answering, Bounds, Cause, ExchangeError, Finished, Judged, Next, Reached, Sending, Side};
use crate::act::alarm::Alarm;
use crate::act::wire::{LARGE, Wire};
use crate::http::framing::HeadEnd;
use crate::http::{AnswerHead, Body, BodyLength, FramingError};
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
    alarm: Alarm,
}

/// The request's way. Its head's rest is in `sending.head`.
struct Up {
    body: Body,
    /// Bytes pending at the client that belong to the body and were not yet written.
    ready: usize,
    state: UpState,
    begun: bool,
    bytes: u64,
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
    /// What is written before the body.
    head: Bytes,
    end: HeadEnd,
    body: Body,
    ready: usize,
    state: DownState,
    /// The final answer's; 0 before it came.
    status: u16,
    persists: bool,
    begun: bool,
    interim: bool,
    bytes: u64,
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
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) fn new(
        client: &'a mut Wire<C>,
        service: &'a mut Wire<S>,
        sending: Sending<'a>,
        answering: Answering<'j>,
        bounds: Bounds,
    ) -> Self {
        let body = Body::within(sending.request.length(), bounds.around);
        let up = Up { body, ready: 0, state: UpState::Going, begun: false, bytes: 0, starving: None, error: None };
        let down = Down {
            head: Bytes::new(),
            end: HeadEnd::default(),
            body: Body::new(BodyLength::None),
            ready: 0,
            state: DownState::Head,
            status: 0,
            persists: true,
            begun: false,
            interim: false,
            bytes: 0,
            owing: answering.begin_within.map(|_| Instant::now()),
            partial: None,
        };
        Self { client, service, sending, answering, bounds, up, down, alarm: Alarm::default() }
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
        ExchangeError { side, reached, cause, body_taken: self.up.body.is_done() && self.up.ready == 0 }
    }

    /// Moves the request on as far as it goes now.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Result<(), (Side, Cause)> {
        while self.up.state == UpState::Going {
            self.scan_request().map_err(|cause| (Side::Client, cause))?;
            if self.sending.head.has_remaining() || self.up.ready > 0 {
                let left = self.sending.head.len() + self.up.ready;
                let sent =
                    self.service.poll_send(cx, &mut self.sending.head, &mut self.client.pending, &mut self.up.ready);
                self.up.begun |= self.sending.head.len() + self.up.ready < left;
                match sent {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(())) => self.owe(),
                    Poll::Ready(Err(error)) => self.break_off(error),
                }
                continue;
            }
            match self.service.poll_flush(cx) {
                Poll::Ready(Err(error)) => {
                    self.break_off(error);
                    break;
                }
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) if self.up.body.is_done() => {
                    self.up.state = UpState::Done;
                    self.up.starving = None;
                    break;
                }
                Poll::Ready(Ok(())) => {}
            }
            if self.client.ended() {
                self.up.state = UpState::Broken;
                break;
            }
            match self.client.poll_fill(cx) {
                Poll::Pending => {
                    self.starve();
                    return Ok(());
                }
                Poll::Ready(Ok(_)) => self.up.starving = None,
                Poll::Ready(Err(error)) => return Err((Side::Client, error.into())),
            }
        }
        Ok(())
    }

    /// Finds out how much of what is pending at the client belongs to the body.
    fn scan_request(&mut self) -> Result<(), Cause> {
        if self.up.ready == 0 && !self.client.pending.is_empty() {
            self.up.ready = self.up.body.scan(&self.client.pending)?;
            self.up.bytes += self.up.ready as u64;
            if let Some(kept) = &mut self.sending.kept {
                kept.keep(self.client.pending.get(..self.up.ready).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// The service takes nothing more. It may have answered before it closed: the answer's way tells.
    fn break_off(&mut self, error: io::Error) {
        self.up.state = UpState::Broken;
        self.up.error = Some(error);
    }

    /// Moves the answers on as far as they go now.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Result<(), (Side, Cause)> {
        while self.down.state != DownState::Done {
            self.read_answer().map_err(|cause| (Side::Service, cause))?;
            if self.down.head.has_remaining() || self.down.ready > 0 {
                let left = self.down.head.len() + self.down.ready;
                let sent =
                    self.client.poll_send(cx, &mut self.down.head, &mut self.service.pending, &mut self.down.ready);
                self.down.begun |= self.down.status != 0 && self.down.head.len() + self.down.ready < left;
                match sent {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Err((Side::Client, error.into())),
                }
                continue;
            }
            match self.client.poll_flush(cx) {
                Poll::Ready(Err(error)) => return Err((Side::Client, error.into())),
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) if self.down.state == DownState::Body && self.down.body.is_done() => {
                    self.down.state = DownState::Done;
                    break;
                }
                Poll::Ready(Ok(())) => {}
            }
            if self.service.ended() {
                return self.answer_ended();
            }
            match self.service.poll_fill(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err((Side::Service, error.into())),
            }
        }
        Ok(())
    }

    /// Reads what is pending at the service: a head once it is whole, then what belongs to its body.
    fn read_answer(&mut self) -> Result<(), Cause> {
        if !self.down.head.is_empty() || self.down.ready > 0 || self.service.pending.is_empty() {
            return Ok(());
        }
        if self.down.state == DownState::Head {
            let Some(end) = self.down.end.find(&self.service.pending, self.bounds.head_bytes)? else {
                self.down.partial.get_or_insert_with(Instant::now);
                return Ok(());
            };
            self.down.end = HeadEnd::default();
            let raw = self.service.pending.split_to(end).freeze();
            let head = AnswerHead::parse(raw, self.bounds.fields, self.sending.request.method())?;
            self.take_head(head)?;
        }
        if self.down.state == DownState::Body {
            self.down.ready = self.down.body.scan(&self.service.pending)?;
            self.down.bytes += self.down.ready as u64;
        }
        Ok(())
    }

    fn take_head(&mut self, head: AnswerHead) -> Result<(), Cause> {
        self.down.partial = None;
        self.down.owing = None;
        if head.is_interim() {
            self.down.interim = true;
            self.down.head = head.raw().clone();
            self.owe();
            return Ok(());
        }
        if head.status() == 101 && !self.sending.request.upgrades() {
            return Err(FramingError::Malformed("a 101 that was not asked for").into());
        }
        self.down.head = match self.answering.judge.as_mut().map(|judge| judge(&head)) {
            None | Some(Judged::AsItIs) => head.raw().clone(),
            Some(Judged::Instead(bytes)) => bytes,
            Some(Judged::Decline(_)) if self.sending.kept.as_ref().is_some_and(|kept| !kept.overflowed()) => {
                return Err(Cause::Declined(head.status()));
            }
            Some(Judged::Decline(bytes)) => bytes,
        };
        self.down.status = head.status();
        self.down.persists = head.persists();
        self.down.body = Body::within(head.length(), self.bounds.around);
        self.down.state = DownState::Body;
        Ok(())
    }

    /// The service has ended, and everything before that is written.
    fn answer_ended(&mut self) -> Result<(), (Side, Cause)> {
        if self.down.state == DownState::Body && self.down.body.ends_with_close() {
            self.down.state = DownState::Done;
            return Ok(());
        }
        let cause = match (self.down.state, self.up.error.take()) {
            (DownState::Head, _) if !self.service.pending.is_empty() => {
                FramingError::Malformed("the connection ended inside the answer's head").into()
            }
            (_, Some(error)) => error.into(),
            (_, None) => Cause::Closed,
        };
        Err((Side::Service, cause))
    }

    /// While the answer is awaited: notices that the client has gone or has ended, and keeps what it pipelines.
    fn watch_client(&mut self, cx: &mut Context<'_>) -> Result<(), (Side, Cause)> {
        if self.up.state == UpState::Going {
            return Ok(());
        }
        while !self.client.ended() && self.client.pending.len() < self.bounds.pipelined {
            match self.client.poll_fill(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err((Side::Client, error.into())),
            }
        }
        let last = self.client.ended() && (self.client.pending.is_empty() || self.up.state == UpState::Broken);
        if last
            && !self.service.is_shut()
            && let Poll::Ready(Err(_)) = self.service.poll_shut(cx)
        {
            // The service has gone: reading from it tells so, after what it said.
        }
        Ok(())
    }

    /// After a whole answer to a request that isn't whole: whether nobody wants the rest. A service that has ended its
    /// side may still read it; the client is told that nothing more comes. Its bytes stay pending.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        while !self.service.ended() && self.service.pending.len() < LARGE {
            match self.service.poll_fill(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return true,
            }
        }
        self.service.ended()
            && (!self.service.pending.is_empty() || matches!(self.client.poll_shut(cx), Poll::Ready(Err(_))))
    }

    fn owe(&mut self) {
        if self.answering.begin_within.is_some() && self.down.state == DownState::Head {
            self.down.owing = Some(Instant::now());
        }
    }

    /// The client owes the body's next piece, unless it rightly waits to be told to continue.
    fn starve(&mut self) {
        let waits = self.sending.request.expects_continue() && !self.down.interim && self.down.status == 0;
        if !waits {
            self.up.starving.get_or_insert_with(Instant::now);
        }
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
        match self.alarm.poll(cx, Some(since + allowed)) {
            Poll::Ready(()) => Err((side, Cause::Timeout(limit, allowed))),
            Poll::Pending => Ok(()),
        }
    }
}
