//! Capacity errors that only an answer's body tells: its beginning is read before it is decided whose answer the client
//! gets. If it stands, it is played to the client as if it came now.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::act::exchange::{Answering, Bounds, Finished, Judged, Sending, exchange};
use crate::act::forward::{Declined, Turn, follow};
use crate::act::marks::marked;
use crate::act::scoped::{RunError, Scoped};
use crate::act::shared::Shared;
use crate::act::stream::Stream;
use crate::act::wire::Wire;
use crate::http::{AnswerHead, Body};

/// An error's text stands in the first of so many bytes.
const PEEK_BYTES: usize = 64 * 1024;

/// `None` if the next site shall be asked; else what came of giving the declined answer to the client after all.
pub(super) async fn stands<C>(
    shared: &Shared,
    client: &mut Wire<C>,
    scoped: &Scoped<'_>,
    turn: &Turn<'_>,
    declined: Declined,
    returned: bool,
) -> Option<Result<Finished, RunError>>
where
    C: Stream,
{
    let Declined { head, mut far } = declined;
    let config = shared.config.load();
    // What the answer's body says within the time that a head has is enough, or it is no error message.
    let read = timeout(config.timeouts.header_read, body_begins(&head, &mut far)).await;
    let begins = far.pending.get(..read.unwrap_or(far.pending.len())).unwrap_or_default();
    if returned && scoped.plan.next_on.answer(head.status(), begins) {
        return None;
    }
    let mark = |head: &AnswerHead| marked(head, scoped.plan, turn.to, &scoped.marks(turn.tried));
    Some(played(shared, client, scoped, Declined { head, far }, &mark).await)
}

/// Gives an answer that the client has not seen to it after all, with another head.
///
/// # Errors
/// As an exchange's.
pub(in crate::act) async fn played<C>(
    shared: &Shared,
    client: &mut Wire<C>,
    scoped: &Scoped<'_>,
    answer: Declined,
    mark: &(dyn Fn(&AnswerHead) -> Bytes + Sync),
) -> Result<Finished, RunError>
where
    C: Stream,
{
    let Declined { head, mut far } = answer;
    let config = shared.config.load();
    let mut whole = BytesMut::from(head.raw().as_ref());
    whole.extend_from_slice(&far.pending);
    let mut played = Wire::with_pending(Played(&mut far.stream), whole);
    let mut judge = |head: &AnswerHead| Judged::Instead(mark(head));
    let sending = Sending { request: scoped.request, head: scoped.request.raw().clone(), kept: None };
    let answering = Answering { judge: Some(&mut judge), begin_within: None, closing: Some(&shared.closing) };
    let bounds = Bounds::new(&config.limits, &config.timeouts);
    match Box::pin(exchange(client, &mut played, sending, answering, bounds)).await {
        Ok(finished) => Ok(follow(shared, client, &mut far, scoped, finished).await),
        Err(error) => Err(RunError::Exchange(error)),
    }
}

/// Reads until the body has ended or enough of it is pending; how many pending bytes belong to it.
async fn body_begins<S: Stream>(head: &AnswerHead, far: &mut Wire<S>) -> usize {
    let mut body = Body::new(head.length());
    let mut seen = 0;
    loop {
        let Ok(of_body) = body.scan(far.pending.get(seen..).unwrap_or_default()) else { return seen };
        seen += of_body;
        if body.is_done() || seen >= PEEK_BYTES || !matches!(far.fill().await, Ok(1..)) {
            return seen;
        }
    }
}

/// A service that has answered already: what is sent to it again goes nowhere.
struct Played<'a, S>(&'a mut S);

impl<S: AsyncRead + Unpin> Stream for Played<'_, S> {}

impl<S: AsyncRead + Unpin> AsyncRead for Played<'_, S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_read(cx, buf)
    }
}

impl<S: Unpin> AsyncWrite for Played<'_, S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
