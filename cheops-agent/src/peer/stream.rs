//! A byte stream out of an HTTP/2 stream, at both ends. HTTP/2's flow control is its back-pressure: room is given back
//! to the sender only when the reader has taken the bytes.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::envelope::{outcome_trailers, read_trailers, refusal_trailers};
use super::error::{PeerError, Refusal, io_error, is_refused_stream, never_processed};
use super::outcome::Outcome;
use crate::http::Code;
use crate::names::SiteName;

/// The most that one write takes.
const WRITE_BYTES: usize = 64 * 1024;

/// The reading half: DATA, one frame at a time.
struct Incoming {
    stream: RecvStream,
    held: Bytes,
}

impl Incoming {
    fn new(stream: RecvStream) -> Self {
        Self { stream, held: Bytes::new() }
    }

    /// Waits until bytes are held; `None` when the sender has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(), h2::Error>>> {
        while self.held.is_empty() {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => self.held = data,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        Poll::Ready(Some(Ok(())))
    }

    /// Some bytes into `buf`; `None` when the sender has ended.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Option<Result<(), h2::Error>>> {
        match ready!(self.poll_fill(cx)) {
            Some(Ok(())) => {}
            end => return Poll::Ready(end),
        }
        let taken = self.held.split_to(self.held.len().min(buf.remaining()));
        buf.put_slice(taken.chunk());
        Poll::Ready(Some(self.stream.flow_control().release_capacity(taken.len())))
    }
}

fn poll_write(send: &mut SendStream<Bytes>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
    if buf.is_empty() {
        return Poll::Ready(Ok(0));
    }
    send.reserve_capacity(buf.len().min(WRITE_BYTES));
    while send.capacity() == 0 {
        match ready!(send.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            None => return Poll::Ready(Err(closed(send, cx))),
        }
    }
    let size = send.capacity().min(buf.len()).min(WRITE_BYTES);
    let data = buf.get(..size).map(Bytes::copy_from_slice).unwrap_or_default();
    Poll::Ready(send.send_data(data, false).map(|()| size).map_err(io_error))
}

/// Several pieces as one: a head and the beginning of its body go in one frame.
fn poll_write_vectored(
    send: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let mut whole = BytesMut::new();
    for buf in bufs {
        let room = WRITE_BYTES - whole.len().min(WRITE_BYTES);
        whole.extend_from_slice(buf.get(..room).unwrap_or(buf));
    }
    poll_write(send, cx, &whole)
}

/// Why a stream takes no more bytes.
fn closed(send: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> io::Error {
    match send.poll_reset(cx) {
        Poll::Ready(Ok(reason)) => io::Error::new(io::ErrorKind::BrokenPipe, reason.description()),
        Poll::Ready(Err(error)) => io_error(error),
        Poll::Pending => io::ErrorKind::BrokenPipe.into(),
    }
}

/// Counts as an open exchange as long as it lives.
pub(super) struct OpenExchange(#[expect(dead_code, reason = "it is counted, not read")] Arc<()>);

impl OpenExchange {
    /// One more of those that share `all`.
    pub(super) fn new(all: &Arc<()>) -> Self {
        Self(all.clone())
    }
}

/// An exchange at a peer, seen from the agent that asked for it: what is written is the request, what is read is the
/// service's answer. Reading ends well only when the peer has said that the answer was whole; anything else is an error,
/// and [`PeerStream::failure`] tells which. Dropped before its end, it cancels the exchange at the peer.
pub struct PeerStream {
    site: SiteName,
    send: SendStream<Bytes>,
    state: Answer,
    /// Whether the peer may have a byte of the request, or has begun to answer it.
    wrote: bool,
    ended: bool,
    _open: OpenExchange,
}

enum Answer {
    /// The peer hasn't said yet whether it takes the exchange on.
    Awaited(ResponseFuture),
    Coming(Incoming),
    Whole,
    Failed(PeerError),
}

impl PeerStream {
    pub(super) fn new(site: SiteName, answer: ResponseFuture, send: SendStream<Bytes>, open: OpenExchange) -> Self {
        Self { site, send, state: Answer::Awaited(answer), wrote: false, ended: false, _open: open }
    }

    /// Waits until the peer has taken the exchange on: its service is dialled, and the request may come. As long as
    /// nothing was written, an error means that nothing can have happened at the peer. Costs a round trip.
    pub async fn ready(&mut self) -> Result<(), PeerError> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// After a write that failed: waits until it is known whether there is an answer all the same, and if not, why.
    pub async fn settle(&mut self) -> Result<(), PeerError> {
        poll_fn(|cx| {
            ready!(self.poll_ready(cx))?;
            if let Answer::Coming(incoming) = &mut self.state {
                match ready!(incoming.poll_fill(cx)) {
                    Some(Ok(())) => return Poll::Ready(Ok(())),
                    Some(Err(error)) => self.state = Answer::Failed(self.broken(&error)),
                    None => ready!(self.poll_end(cx)),
                }
            }
            self.poll_ready(cx)
        })
        .await
    }

    /// How the exchange ended; `None` while it goes on.
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            Answer::Awaited(_) | Answer::Coming(_) => None,
            Answer::Whole => Some(Outcome::Answered),
            Answer::Failed(error) => Some(error.outcome()),
        }
    }

    /// Why it ended badly.
    pub fn failure(&self) -> Option<&PeerError> {
        match &self.state {
            Answer::Failed(error) => Some(error),
            _ => None,
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PeerError>> {
        if let Answer::Awaited(answer) = &mut self.state {
            let answer = ready!(Pin::new(answer).poll(cx));
            self.state = match answer {
                Ok(answer) if answer.status() == http::StatusCode::OK => {
                    Answer::Coming(Incoming::new(answer.into_body()))
                }
                // Our own server says so before it looks at the request; whatever else says so is no agent.
                Ok(answer) => Answer::Failed(PeerError::Refused {
                    site: self.site.clone(),
                    refusal: Refusal::not_sent(
                        Code::PeerUnreachable,
                        format!("its agent does not take the exchange (status {})", answer.status().as_u16()),
                    ),
                }),
                Err(error) => Answer::Failed(self.broken(&error)),
            };
        }
        Poll::Ready(match &self.state {
            Answer::Failed(error) => Err(error.clone()),
            _ => Ok(()),
        })
    }

    fn broken(&self, error: &h2::Error) -> PeerError {
        let (site, reason) = (self.site.clone(), error.to_string());
        let wrote = self.wrote && !never_processed(error);
        if !wrote && is_refused_stream(error) {
            return PeerError::Busy { site, reason: "it takes no more exchanges now".to_owned() };
        }
        lost(site, reason, wrote)
    }

    /// DATA has ended: what do the trailers say?
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Answer::Coming(incoming) = &mut self.state else { return Poll::Ready(()) };
        let (site, wrote) = (&self.site, self.wrote);
        let lost = |reason: &str| lost(site.clone(), reason.to_owned(), wrote);
        self.state = match ready!(incoming.stream.poll_trailers(cx)) {
            Err(error) => Answer::Failed(self.broken(&error)),
            Ok(None) => Answer::Failed(lost("its agent did not say how the exchange ended")),
            Ok(Some(trailers)) => match read_trailers(&trailers) {
                Some(Ok(())) => Answer::Whole,
                Some(Err(refusal)) => Answer::Failed(PeerError::Refused { site: self.site.clone(), refusal }),
                None => Answer::Failed(lost("its agent's outcome is not known")),
            },
        };
        Poll::Ready(())
    }
}

/// The exchange ended, and nobody said how. `wrote`: the peer may have some of the request.
fn lost(site: SiteName, reason: String, wrote: bool) -> PeerError {
    match wrote {
        true => PeerError::Lost { site, reason },
        false => PeerError::Unreachable { site, reason },
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Err(error) = ready!(this.poll_ready(cx)) {
            return Poll::Ready(Err(error.into()));
        }
        if let Answer::Coming(incoming) = &mut this.state {
            match ready!(incoming.poll_read(cx, buf)) {
                Some(Ok(())) => {
                    this.wrote = true;
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => this.state = Answer::Failed(this.broken(&error)),
                None => ready!(this.poll_end(cx)),
            }
        }
        Poll::Ready(match &this.state {
            Answer::Failed(error) => Err(error.clone().into()),
            _ => Ok(()),
        })
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(poll_write(&mut this.send, cx, buf));
        this.wrote |= written.is_ok();
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(poll_write_vectored(&mut this.send, cx, bufs));
        this.wrote |= written.is_ok();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.ended, true) {
            this.send.send_data(Bytes::new(), true).map_err(io_error)?;
        }
        Poll::Ready(Ok(()))
    }
}

/// An exchange that a peer asked for: what is read is the request, what is written is the service's answer. It ends with
/// [`ServerStream::finish`] or [`ServerStream::fail`]; dropped before, the peer sees it broken off.
pub struct ServerStream {
    incoming: Incoming,
    send: Arc<Mutex<SendStream<Bytes>>>,
    wrote: bool,
    ended: bool,
}

impl ServerStream {
    pub(super) fn new(incoming: RecvStream, send: SendStream<Bytes>) -> Self {
        Self { incoming: Incoming::new(incoming), send: Arc::new(Mutex::new(send)), wrote: false, ended: false }
    }

    /// The service's answer was written whole.
    pub fn finish(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.ended, true) {
            true => Ok(()),
            false => lock(&self.send).send_trailers(outcome_trailers(Outcome::Answered)).map_err(io_error),
        }
    }

    /// There is no answer, or none that is whole. Once bytes of it were written, only a reset can say so.
    pub fn fail(self, refusal: &Refusal) -> io::Result<()> {
        let mut send = lock(&self.send);
        if self.wrote || self.ended {
            send.send_reset(h2::Reason::INTERNAL_ERROR);
            return Ok(());
        }
        send.send_trailers(refusal_trailers(refusal)).map_err(io_error)
    }

    /// Whether a byte of the answer was written.
    pub fn wrote(&self) -> bool {
        self.wrote
    }

    /// Resolves when the peer gives the exchange up, or the link breaks. Await it in the task that uses the stream: the
    /// two share one waker.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        let send = self.send.clone();
        poll_fn(move |cx| lock(&send).poll_reset(cx).map(drop))
    }
}

fn lock(send: &Mutex<SendStream<Bytes>>) -> MutexGuard<'_, SendStream<Bytes>> {
    send.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for ServerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match ready!(self.get_mut().incoming.poll_read(cx, buf)) {
            None => Poll::Ready(Ok(())),
            Some(read) => Poll::Ready(read.map_err(io_error)),
        }
    }
}

impl AsyncWrite for ServerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(poll_write(&mut lock(&this.send), cx, buf));
        this.wrote |= written.is_ok();
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(poll_write_vectored(&mut lock(&this.send), cx, bufs));
        this.wrote |= written.is_ok();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The half-close of a tunnel: all of the answer was written, and the request may go on.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        Poll::Ready(if this.wrote { this.end() } else { Ok(()) })
    }
}
