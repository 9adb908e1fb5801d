//! A transport that lets the other end have the last word.
//!
//! Whoever is refused often finds it out by a write that fails, while the reason, an alert or a GOAWAY, is there and was
//! not read yet. So a write that finds the way closed is no error here: what was said before is read first, and only
//! when nothing more is there the write's error is told.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// See above.
pub(super) struct LastWord<T> {
    transport: T,
    /// Why nothing can be written any more.
    closed: Option<io::Error>,
}

impl<T> LastWord<T> {
    pub(super) fn new(transport: T) -> Self {
        Self { transport, closed: None }
    }

    /// What is made of a write's outcome; `instead` is said where the way is closed.
    fn written<A>(&mut self, cx: &Context<'_>, outcome: io::Result<A>, instead: A) -> io::Result<A> {
        match outcome {
            Err(error) if is_closed(&error) => {
                self.closed = Some(error);
                // The reader finds it at its next turn.
                cx.waker().wake_by_ref();
                Ok(instead)
            }
            outcome => outcome,
        }
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}

impl<T: AsyncRead + Unpin> AsyncRead for LastWord<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.transport).poll_read(cx, buf);
        let Some(closed) = &self.closed else { return read };
        let why = || io::Error::new(closed.kind(), closed.to_string());
        Poll::Ready(match read {
            Poll::Ready(Ok(())) if buf.filled().len() > before => Ok(()),
            // An alert is an error of another kind.
            Poll::Ready(Err(error)) if !is_closed(&error) && error.kind() != ErrorKind::UnexpectedEof => Err(error),
            _ => Err(why()),
        })
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for LastWord<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.closed.is_some() {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = ready!(Pin::new(&mut self.transport).poll_write(cx, buf));
        Poll::Ready(self.written(cx, written, buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closed.is_some() {
            return Poll::Ready(Ok(()));
        }
        let flushed = ready!(Pin::new(&mut self.transport).poll_flush(cx));
        Poll::Ready(self.written(cx, flushed, ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Its writes fail; what was sent before is still there.
    struct Refused(VecDeque<io::Result<&'static [u8]>>);

    impl AsyncRead for Refused {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let Some(next) = self.0.pop_front() else { return Poll::Pending };
            Poll::Ready(next.map(|bytes| buf.put_slice(bytes)))
        }
    }

    impl AsyncWrite for Refused {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn after_a_write(said: Vec<io::Result<&'static [u8]>>) -> (Vec<u8>, io::Error) {
        let mut transport = LastWord::new(Refused(said.into()));
        transport.write_all(b"hello").await.expect("no error yet");
        transport.flush().await.expect("no error yet");
        let mut read = Vec::new();
        let error = transport.read_to_end(&mut read).await.expect_err("the way is closed");
        (read, error)
    }

    #[tokio::test]
    async fn what_was_said_before_comes_first() {
        let alert = || io::Error::new(ErrorKind::InvalidData, "revoked");
        let (read, error) = after_a_write(vec![Ok(b"go away"), Err(alert())]).await;
        assert_eq!((read.as_slice(), error.to_string().as_str()), (&b"go away"[..], "revoked"));
    }

    #[tokio::test]
    async fn without_a_word_the_write_s_error_is_told() {
        for said in [vec![], vec![Ok(&b""[..])], vec![Err(ErrorKind::ConnectionReset.into())]] {
            assert_eq!(after_a_write(said).await.1.kind(), ErrorKind::BrokenPipe);
        }
    }
}
