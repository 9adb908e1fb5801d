//! The request's way.

use std::io;
use std::task::{Context, Poll};

use bytes::Buf;
use tokio::time::Instant;

use super::{Relay, UpState};
use crate::act::exchange::{Cause, Side};
use crate::act::splice::WORTH;
use crate::act::stream::Stream;

impl<C, S> Relay<'_, '_, C, S>
where
    C: Stream,
    S: Stream,
{
    /// Moves the request on as far as it goes now.
    pub(super) fn poll_up(&mut self, cx: &mut Context<'_>) -> Result<(), (Side, Cause)> {
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
                Poll::Ready(Ok(())) if self.up.body.is_done() && self.up.splice.inside() == 0 => {
                    self.up.state = UpState::Done;
                    self.up.starving = None;
                    break;
                }
                Poll::Ready(Ok(())) => {}
            }
            if self.up.splice.inside() > 0 || self.may_splice_up() {
                match self.splice_up(cx)? {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(()) => continue,
                }
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

    /// Whether the body's rest may go on uncopied: nobody keeps it, and there is much of it.
    fn may_splice_up(&mut self) -> bool {
        self.sending.kept.is_none()
            && self.up.body.data() >= WORTH
            && self.client.may_splice(self.service)
            && self.up.splice.is_ready()
    }

    /// One turn of moving the body on uncopied: what is in the pipe, or more into it.
    fn splice_up(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, (Side, Cause)> {
        if self.up.splice.inside() > 0 {
            match self.service.poll_send_spliced(cx, &mut self.up.splice) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(())) => self.owe(),
                Poll::Ready(Err(error)) => self.break_off(error),
            }
            return Ok(Poll::Ready(()));
        }
        match self.client.poll_fill_spliced(cx, &mut self.up.splice, self.up.body.data()) {
            Poll::Pending => {
                self.starve();
                Ok(Poll::Pending)
            }
            Poll::Ready(Ok(read)) => {
                self.up.starving = None;
                self.up.body.skip(read as u64);
                self.up.bytes += read as u64;
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Err(error)) => Err((Side::Client, error.into())),
        }
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

    /// While the answer is awaited: notices that the client has gone or has ended, and keeps what it pipelines.
    pub(super) fn watch_client(&mut self, cx: &mut Context<'_>) -> Result<(), (Side, Cause)> {
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

    /// The client owes the body's next piece, unless it rightly waits to be told to continue.
    fn starve(&mut self) {
        let waits = self.sending.request.expects_continue() && !self.down.interim && self.down.status == 0;
        if !waits {
            self.up.starving.get_or_insert_with(Instant::now);
        }
    }
}
