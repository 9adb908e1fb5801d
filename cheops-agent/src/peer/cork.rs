//! A transport that sends what HTTP/2 says in one turn as one piece.
//!
//! HTTP/2's codec writes each frame by itself: over TLS that is a record, an encryption and a call for each head, each
//! piece of a body and each end of an exchange, many of which are there at the same time. Here they are held until the
//! connection's task has nothing more to say, or until a record is full.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a TLS record has room for (RFC 8446, 5.1).
const RECORD: usize = 16 * 1024;

/// The transport as HTTP/2 has it.
pub(super) struct Corked<T>(Arc<Mutex<Inner<T>>>);

/// Lets go what is held.
pub(super) struct Cork<T>(Arc<Mutex<Inner<T>>>);

struct Inner<T> {
    transport: T,
    held: BytesMut,
    /// The transport itself may hold some back.
    unsent: bool,
    broken: Option<io::Error>,
}

/// Both ends of it. What is written to the first goes on while a future runs inside the second's [`Cork::during`].
pub(super) fn corked<T>(transport: T) -> (Corked<T>, Cork<T>) {
    let inner = Arc::new(Mutex::new(Inner { transport, held: BytesMut::new(), unsent: false, broken: None }));
    (Corked(inner.clone()), Cork(inner))
}

fn lock<T>(inner: &Mutex<Inner<T>>) -> MutexGuard<'_, Inner<T>> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: AsyncWrite + Unpin> Cork<T> {
    /// Runs what drives the connection: each time it has nothing more to do, what it has written goes on.
    pub(super) async fn during<F: Future>(&self, driving: F) -> F::Output {
        let mut driving = std::pin::pin!(driving);
        std::future::poll_fn(|cx| {
            let driven = driving.as_mut().poll(cx);
            let mut inner = lock(&self.0);
            if let Poll::Ready(Err(error)) = inner.poll_out(cx) {
                // The connection finds it at its next turn, which is now.
                inner.broken = Some(error);
                cx.waker().wake_by_ref();
            }
            driven
        })
        .await
    }
}

impl<T: AsyncWrite + Unpin> Inner<T> {
    /// Writes what is held, and has the transport send it.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() && !self.unsent {
            return Poll::Ready(Ok(()));
        }
        self.unsent = true;
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.transport).poll_write(cx, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(written);
        }
        ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
        self.unsent = false;
        Poll::Ready(Ok(()))
    }

    /// An error that was found when nobody asked.
    fn check(&mut self) -> io::Result<()> {
        self.broken.take().map_or(Ok(()), Err)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Corked<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        inner.check()?;
        Pin::new(&mut inner.transport).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Corked<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = lock(&self.0);
        inner.check()?;
        let size: usize = bufs.iter().map(|buf| buf.len()).sum();
        if inner.held.len() + size > RECORD {
            ready!(inner.poll_out(cx))?;
        }
        if size > RECORD {
            inner.unsent = true;
            return Pin::new(&mut inner.transport).poll_write_vectored(cx, bufs);
        }
        bufs.iter().for_each(|buf| inner.held.extend_from_slice(buf));
        Poll::Ready(Ok(size))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(lock(&self.0).check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        inner.check()?;
        ready!(inner.poll_out(cx))?;
        Pin::new(&mut inner.transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A transport that counts what it is asked to write.
    struct Counted<T>(T, Arc<Mutex<Vec<usize>>>);

    impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let written = ready!(Pin::new(&mut self.0).poll_write(cx, buf));
            self.1.lock().expect("no panic while it is held").extend(written.as_ref().ok());
            Poll::Ready(written)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn what_is_written_in_one_turn_is_one_piece() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let pieces = Arc::<Mutex<Vec<usize>>>::default();
        let (mut corked, cork) = corked(Counted(near, pieces.clone()));
        cork.during(async {
            for piece in [&b"one "[..], b"two ", b"three"] {
                corked.write_all(piece).await.expect("open");
                corked.flush().await.expect("open");
            }
            tokio::task::yield_now().await;
            corked.write_all(b"!").await.expect("open");
            // More than a record does not wait for its turn's end.
            corked.write_all(&vec![7; RECORD]).await.expect("open");
            corked.write_all(&vec![8; 3 * RECORD]).await.expect("open");
        })
        .await;
        drop((corked, cork));
        let mut seen = Vec::new();
        far.read_to_end(&mut seen).await.expect("to its end");
        assert!(seen.starts_with(b"one two three!\x07") && seen.ends_with(&[8; 3 * RECORD]));
        assert_eq!(*pieces.lock().expect("no panic"), [13, 1, RECORD, 3 * RECORD]);
    }

    #[tokio::test]
    async fn an_error_of_a_late_write_is_told() {
        let (near, far) = tokio::io::duplex(64);
        drop(far);
        let (mut corked, cork) = corked(near);
        let told = cork.during(async {
            corked.write_all(b"one").await.expect("held");
            tokio::task::yield_now().await;
            corked.read_u8().await.map(drop).expect_err("broken").kind()
        });
        assert_eq!(told.await, io::ErrorKind::BrokenPipe);
    }
}
