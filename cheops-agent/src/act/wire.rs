//! A stream with the bytes that were read from it and are not yet used.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use nix::libc;
use socket2::SockRef;
use tokio::io::AsyncReadExt;

use super::alarm::Alarm;
use super::pool;
pub use super::pool::{LARGE, SMALL};
use super::splice::Splice;
use super::stream::Stream;

/// One end of an exchange.
#[derive(Debug)]
pub struct Wire<S> {
    pub stream: S,
    /// Read, and not yet used.
    pub pending: BytesMut,
    /// Of whoever waits for this end; one after the other.
    pub(super) alarm: Alarm,
    /// How much the next read asks for.
    want: usize,
    /// Whether the last read was as much as it could be: more is probably there.
    full: bool,
    /// Whether the first write is still to come of a connection that was just made: it has room, before the runtime has
    /// heard of it.
    new: bool,
    ended: bool,
    shut: bool,
}

impl<S> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self::with_pending(stream, BytesMut::new())
    }

    /// A stream of which some bytes were read before.
    pub fn with_pending(stream: S, pending: BytesMut) -> Self {
        Self {
            stream,
            pending,
            alarm: Alarm::default(),
            want: SMALL,
            full: false,
            new: false,
            ended: false,
            shut: false,
        }
    }

    /// A connection that was just made.
    pub fn connected(stream: S) -> Self {
        Self { new: true, ..Self::new(stream) }
    }

    /// Whether the other end has sent its last byte, and it was read.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether nothing is written any more.
    pub fn is_shut(&self) -> bool {
        self.shut
    }

    /// Gives the buffer back while nothing is pending, and begins with a small one again.
    pub fn rest(&mut self) {
        pool::give(&mut self.pending);
        self.want = SMALL;
    }

    fn make_room(&mut self) {
        if self.pending.is_empty() {
            pool::give(&mut self.pending);
            self.pending = pool::take(self.want);
        } else {
            self.pending.reserve(self.want);
        }
    }
}

impl<S: Stream> Wire<S> {
    /// Reads once, behind what is pending. 0 bytes: the other end has ended.
    ///
    /// # Errors
    /// The stream's own.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.pending.capacity() - self.pending.len() < self.want / 4 {
            self.make_room();
        }
        let room = self.pending.capacity() - self.pending.len();
        let Poll::Ready(read) = pin!(self.stream.read_buf(&mut self.pending)).poll(cx) else {
            pool::give(&mut self.pending);
            return Poll::Pending;
        };
        let read = read?;
        self.ended = read == 0;
        self.full = read == room;
        if self.full {
            self.want = (self.want * 2).min(LARGE);
        }
        Poll::Ready(Ok(read))
    }

    /// Whether what comes may go `to` there uncopied, and comes in such an amount that it is worth it.
    pub fn may_splice<T: Stream>(&self, to: &Wire<T>) -> bool {
        self.full
            && !self.ended
            && self.pending.is_empty()
            && self.stream.socket().is_some()
            && to.stream.socket().is_some()
    }

    /// [`poll_fill`](Self::poll_fill), but into the empty pipe of `splice`, and at most `most` bytes.
    ///
    /// # Errors
    /// The stream's own.
    pub fn poll_fill_spliced(
        &mut self,
        cx: &mut Context<'_>,
        splice: &mut Splice,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        let Some(socket) = self.stream.socket() else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
        pool::give(&mut self.pending);
        let Poll::Ready(read) = splice.poll_fill(cx, socket, most) else {
            splice.rest();
            return Poll::Pending;
        };
        let read = read?;
        self.ended = read == 0;
        // A trickle is copied: that takes fewer calls.
        self.full = read >= SMALL;
        if !self.full && splice.inside() == 0 {
            splice.rest();
        }
        Poll::Ready(Ok(read))
    }

    /// Writes what is in the pipe of `splice`. `Ready` when it is empty.
    ///
    /// # Errors
    /// The stream's own.
    pub fn poll_send_spliced(&mut self, cx: &mut Context<'_>, splice: &mut Splice) -> Poll<io::Result<()>> {
        match self.stream.socket() {
            Some(socket) => splice.poll_send(cx, socket),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// [`poll_fill`](Self::poll_fill), awaited.
    ///
    /// # Errors
    /// The stream's own.
    pub async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// Writes `head`, then the first `ready` bytes of `from`, in as few writes as the stream takes, and takes what was
    /// written off them. `Ready` when both are gone.
    ///
    /// # Errors
    /// The stream's own.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Bytes,
        from: &mut BytesMut,
        ready: &mut usize,
    ) -> Poll<io::Result<()>> {
        while head.has_remaining() || *ready > 0 {
            let body = from.get(..*ready).unwrap_or_default();
            let written = ready!(self.poll_write(cx, head, body))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(head.len());
            head.advance(of_head);
            from.advance(written - of_head);
            *ready -= written - of_head;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes once.
    fn poll_write(&mut self, cx: &mut Context<'_>, head: &[u8], body: &[u8]) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.new)
            && let Some(socket) = self.stream.socket()
        {
            let socket = SockRef::from(socket);
            let written = match body.is_empty() {
                true => socket.send_with_flags(head, libc::MSG_NOSIGNAL),
                false => {
                    let both = [IoSlice::new(head), IoSlice::new(body)];
                    socket.send_vectored_with_flags(&both, libc::MSG_NOSIGNAL)
                }
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
        let stream = Pin::new(&mut self.stream);
        match (head.is_empty(), body.is_empty()) {
            (false, false) if stream.is_write_vectored() => {
                stream.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(body)])
            }
            (false, _) => stream.poll_write(cx, head),
            (true, _) => stream.poll_write(cx, body),
        }
    }

    /// Writes all of `bytes` and flushes.
    ///
    /// # Errors
    /// The stream's own.
    pub async fn send(&mut self, mut bytes: Bytes) -> io::Result<()> {
        let mut nothing = BytesMut::new();
        std::future::poll_fn(|cx| self.poll_send(cx, &mut bytes, &mut nothing, &mut 0)).await?;
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Lets go what the stream may hold back.
    ///
    /// # Errors
    /// The stream's own.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Tells the other end that nothing more comes; it may go on sending. Only the first call does something.
    ///
    /// # Errors
    /// The stream's own.
    pub fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            let result = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
            self.shut = true;
            result?;
        }
        Poll::Ready(Ok(()))
    }

    /// [`poll_shut`](Self::poll_shut), awaited.
    ///
    /// # Errors
    /// The stream's own.
    pub async fn shut(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_shut(cx)).await
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn buffers_grow_while_reads_fill_them_and_are_given_back() {
        let (mut far, near) = tokio::io::duplex(1 << 20);
        let mut wire = Wire::new(near);
        far.write_all(&vec![7; 1 << 20]).await.expect("room");
        let mut read = 0;
        while read < 1 << 20 {
            read += wire.fill().await.expect("bytes");
            wire.pending.clear();
        }
        assert_eq!(wire.want, LARGE);
        wire.rest();
        assert_eq!((wire.want, wire.pending.capacity()), (SMALL, 0));
    }

    #[tokio::test]
    async fn head_and_body_are_sent_in_order_and_taken_off() {
        let (far, near) = tokio::io::duplex(3);
        let mut wire = Wire::new(near);
        let (mut head, mut from, mut ready) = (Bytes::from_static(b"head"), BytesMut::from(&b"bodyrest"[..]), 4);
        let mut far = Wire::new(far);
        let sending = std::future::poll_fn(|cx| wire.poll_send(cx, &mut head, &mut from, &mut ready));
        let reading = async {
            while far.pending.len() < 8 {
                far.fill().await.expect("bytes");
            }
        };
        let (sent, ()) = tokio::join!(sending, reading);
        sent.expect("sent");
        assert_eq!((&far.pending[..], &from[..]), (&b"headbody"[..], &b"rest"[..]));
    }

    /// A connection of which the runtime has not heard, and its other end.
    fn unheard_of() -> (TcpStream, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let near = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        near.set_nonblocking(true).expect("a socket");
        (TcpStream::from_std(near).expect("a runtime"), listener.accept().expect("a connection").0)
    }

    #[tokio::test]
    async fn a_new_connections_first_write_waits_for_nothing() {
        let (near, mut far) = unheard_of();
        let mut wire = Wire::connected(near);
        let (mut head, mut from, mut ready) = (Bytes::from_static(b"head"), BytesMut::from(&b"bodyrest"[..]), 4);
        let sent = futures_util::poll!(std::future::poll_fn(|cx| wire.poll_send(cx, &mut head, &mut from, &mut ready)));
        assert!(matches!(sent, Poll::Ready(Ok(()))));
        let mut came = [0; 8];
        far.read_exact(&mut came).expect("sent");
        assert_eq!((&came, &from[..]), (b"headbody", &b"rest"[..]));
    }

    #[tokio::test]
    async fn a_first_write_without_room_waits_and_loses_nothing() {
        let (near, mut far) = unheard_of();
        let socket = SockRef::from(&near);
        let mut sent = 0;
        while let Ok(written) = socket.send(&[b'x'; 65536]) {
            sent += written;
        }
        let mut wire = Wire::connected(near);
        let reader = tokio::task::spawn_blocking(move || {
            let mut came = Vec::new();
            far.read_to_end(&mut came).expect("to its end");
            came
        });
        wire.send(Bytes::from_static(b"after it")).await.expect("room comes");
        drop(wire);
        let came = reader.await.expect("read");
        assert_eq!((came.len(), &came[sent..]), (sent + 8, &b"after it"[..]));
    }
}
