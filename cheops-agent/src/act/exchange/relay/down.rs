//! The answers' way.

use std::task::{Context, Poll};

use bytes::Buf;
use tokio::time::Instant;

use super::{DownState, Relay, UpState};
use crate::act::closing::{self, Closing};
use crate::act::exchange::{Cause, Judged, Side};
use crate::act::splice::WORTH;
use crate::act::stream::Stream;
use crate::act::wire::LARGE;
use crate::http::framing::HeadEnd;
use crate::http::{AnswerFrame, AnswerHead, Body, FramingError};

impl<C, S> Relay<'_, '_, C, S>
where
    C: Stream,
    S: Stream,
{
    /// Moves the answers on as far as they go now.
    pub(super) fn poll_down(&mut self, cx: &mut Context<'_>) -> Result<(), (Side, Cause)> {
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
                Poll::Ready(Ok(())) if self.is_sent() => {
                    self.down.state = DownState::Done;
                    break;
                }
                Poll::Ready(Ok(())) => {}
            }
            if self.down.splice.inside() > 0 || self.may_splice_down() {
                match self.splice_down(cx)? {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(()) => continue,
                }
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

    /// Whether the client has the whole answer.
    fn is_sent(&self) -> bool {
        self.down.state == DownState::Body && self.down.body.is_done() && self.down.splice.inside() == 0
    }

    /// Whether the body's rest may go on uncopied: there is much of it.
    fn may_splice_down(&mut self) -> bool {
        self.down.state == DownState::Body
            && self.down.body.data() >= WORTH
            && self.service.may_splice(self.client)
            && self.down.splice.is_ready()
    }

    /// One turn of moving the body on uncopied: what is in the pipe, or more into it.
    fn splice_down(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, (Side, Cause)> {
        if self.down.splice.inside() > 0 {
            let sent = self.client.poll_send_spliced(cx, &mut self.down.splice);
            let Poll::Ready(sent) = sent else { return Ok(Poll::Pending) };
            return sent.map(Poll::Ready).map_err(|error| (Side::Client, error.into()));
        }
        let read = self.service.poll_fill_spliced(cx, &mut self.down.splice, self.down.body.data());
        let Poll::Ready(read) = read else { return Ok(Poll::Pending) };
        let read = read.map_err(|error| (Side::Service, error.into()))? as u64;
        self.down.body.skip(read);
        self.down.bytes += read;
        Ok(Poll::Ready(()))
    }

    /// Reads what is pending at the service: a head once it is whole, then what belongs to its body.
    fn read_answer(&mut self) -> Result<(), Cause> {
        if !self.down.head.is_empty() || self.down.ready > 0 || self.service.pending.is_empty() {
            return Ok(());
        }
        let mut of_head = 0;
        if self.down.state == DownState::Head {
            let Some(end) = self.down.end.find(&self.service.pending, self.bounds.head_bytes)? else {
                self.down.partial.get_or_insert_with(Instant::now);
                return Ok(());
            };
            self.down.end = HeadEnd::default();
            self.down.partial = None;
            self.down.owing = None;
            let as_it_is = self.answering.judge.is_none() && !self.is_closing();
            of_head = if as_it_is { self.pass_head(end)? } else { self.judge_head(end)? };
        }
        let mut of_body = 0;
        if self.down.state == DownState::Body {
            of_body = self.down.body.scan(self.service.pending.get(of_head..).unwrap_or_default())?;
            self.down.bytes += of_body as u64;
        }
        self.down.ready = of_head + of_body;
        Ok(())
    }

    /// The head goes on as it is, from where it was read to.
    fn pass_head(&mut self, end: usize) -> Result<usize, Cause> {
        let raw = self.service.pending.get(..end).unwrap_or_default();
        let frame = AnswerFrame::read(raw, self.bounds.fields, self.sending.request.method())?;
        self.take_frame(frame)?;
        Ok(end)
    }

    /// The judge says what goes on instead of it; nothing of the pending bytes does.
    fn judge_head(&mut self, end: usize) -> Result<usize, Cause> {
        let raw = self.service.pending.split_to(end).freeze();
        let head = AnswerHead::parse(raw, self.bounds.fields, self.sending.request.method())?;
        self.take_frame(head.frame())?;
        self.down.head = match self.answering.judge.as_mut().filter(|_| !head.is_interim()).map(|judge| judge(&head)) {
            None | Some(Judged::AsItIs) => head.raw().clone(),
            Some(Judged::Instead(bytes)) => bytes,
            Some(Judged::Decline(_)) if self.sending.kept.as_ref().is_some_and(|kept| !kept.overflowed()) => {
                return Err(Cause::Declined(head.status()));
            }
            Some(Judged::Decline(bytes)) => bytes,
            Some(Judged::Refuse) => return Err(Cause::Declined(head.status())),
        };
        self.tell_closing();
        Ok(0)
    }

    fn is_closing(&self) -> bool {
        self.answering.closing.is_some_and(Closing::is_set)
    }

    /// Says in the final answer's head that the connection ends, unless it leaves HTTP or the client's next request is
    /// here already, which would be lost.
    fn tell_closing(&mut self) {
        let pipelined = self.up.state == UpState::Done && !self.client.pending.is_empty();
        if self.is_closing() && self.down.state == DownState::Body && !pipelined && !self.left_http() {
            self.down.head = closing::closed(&self.down.head);
            self.down.closing = true;
        }
    }

    fn take_frame(&mut self, frame: AnswerFrame) -> Result<(), Cause> {
        if frame.is_interim() {
            self.down.interim = true;
            self.owe();
            return Ok(());
        }
        if frame.status == 101 && !self.sending.request.upgrades() {
            return Err(FramingError::Malformed("a 101 that was not asked for").into());
        }
        self.down.status = frame.status;
        self.down.persists = frame.persists;
        self.down.body = Body::within(frame.length, self.bounds.around);
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

    /// After a whole answer to a request that isn't whole: whether nobody wants the rest. A service that has ended its
    /// side may still read it; the client is told that nothing more comes. Its bytes stay pending.
    pub(super) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
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

    pub(super) fn owe(&mut self) {
        if self.answering.begin_within.is_some() && self.down.state == DownState::Head {
            self.down.owing = Some(Instant::now());
        }
    }
}
