//! The far end of a scoped exchange: a service that this agent dialled itself, or a peer's.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::exchange::{Cause, ExchangeError, Reached};
use super::stream::Stream;
use super::wire::Wire;
use crate::http::Code;
use crate::names::SiteName;
use crate::peer::{Outcome, PeerStream, Refusal};

/// After a write to a peer failed: how long its word on why is waited for.
const LAST_WORD: Duration = Duration::from_secs(1);

/// The stream that leads to the service.
pub(super) enum Far {
    Service(TcpStream),
    Peer(Box<PeerStream>),
}

macro_rules! either {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Far::Service($stream) => $call,
            Far::Peer($stream) => $call,
        }
    };
}

impl Stream for Far {
    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Service(stream) => Some(stream),
            Self::Peer(_) => None,
        }
    }
}

impl AsyncRead for Far {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Far {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Service(stream) => stream.is_write_vectored(),
            Self::Peer(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// What an exchange that failed at its far end came to, and what the client is told. This decides whether another site
/// may be tried, so it errs towards "may have happened".
pub(super) async fn blame(far: &mut Wire<Far>, error: &ExchangeError, site: &SiteName) -> Refusal {
    let mut refusal = by_cause(error, site);
    if let Far::Peer(stream) = &mut far.stream {
        if matches!(error.cause, Cause::Io(_) | Cause::Closed) && stream.outcome().is_none() {
            // Only the stream's own state counts; it is asked for next.
            let _settled = timeout(LAST_WORD, stream.settle()).await;
        }
        if let Some(failure) = stream.failure() {
            refusal = Refusal { outcome: failure.outcome(), code: failure.code(), detail: failure.to_string() };
        }
    }
    if error.reached == Reached::Nothing {
        refusal.outcome = Outcome::NotSent;
    }
    refusal
}

/// By what this side saw alone.
fn by_cause(error: &ExchangeError, site: &SiteName) -> Refusal {
    let detail = format!("{site}: {}", error.cause);
    if error.reached == Reached::Nothing {
        return Refusal::not_sent(Code::ServiceUnreachable, detail);
    }
    match &error.cause {
        Cause::Timeout(_, within) => {
            let within = within.as_secs_f64();
            Refusal::sent(Code::Timeout, format!("{site}'s answer did not begin within {within} s"))
        }
        Cause::Framing(_) => Refusal::sent(Code::BadAnswer, detail),
        Cause::Io(_) | Cause::Closed | Cause::Declined(_) => Refusal::sent(
            Code::OutcomeUnknown,
            format!("the connection to {site} was lost after the request was sent: {}", error.cause),
        ),
    }
}
