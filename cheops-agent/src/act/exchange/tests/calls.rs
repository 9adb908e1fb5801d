//! How many reads and writes an exchange takes.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

/// Counts the reads that got something, and the writes.
#[derive(Debug)]
struct Counted {
    stream: DuplexStream,
    reads: usize,
    writes: usize,
}

impl Stream for Counted {}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.reads += usize::from(read.is_ready());
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.writes += 1;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A small message, head and body together, is read at once and written at once, also when its head is another one.
#[tokio::test]
async fn small_messages_take_one_read_and_one_write_each() {
    let posted = format!("{POST}hello");
    let chunked = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let marked = Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Cheops-Site: Berlin\r\n\r\n");
    for request in [GET, &posted, chunked] {
        for instead in [false, true] {
            let (mut far_client, client) = duplex(4096);
            let (mut far_service, service) = duplex(4096);
            let counted = |stream| Wire::new(Counted { stream, reads: 0, writes: 0 });
            let (mut client, mut service) = (counted(client), counted(service));
            far_client.write_all(request.as_bytes()).await.expect("room");
            client.fill().await.expect("bytes");
            let end = request.find("\r\n\r\n").expect("a head") + 4;
            let raw = client.pending.split_to(end).freeze();
            let head = RequestHead::parse(raw, 20).expect("well-formed");
            let sending = Sending { request: &head, head: head.raw().clone(), kept: None };
            let mut judge = |_: &AnswerHead| Judged::Instead(marked.clone());
            let answering = Answering { judge: instead.then_some(&mut judge as &mut _), ..Answering::AS_IT_IS };
            let far = async {
                assert_eq!(read(&mut far_service, request.len()).await, request);
                far_service.write_all(OK.as_bytes()).await.expect("room");
                let expected = if instead { marked.len() + 2 } else { OK.len() };
                read(&mut far_client, expected).await
            };
            let (finished, seen) = tokio::join!(exchange(&mut client, &mut service, sending, answering, BOUNDS), far);
            assert_eq!(finished.expect("an exchange").next, Next::Request);
            assert!(seen.ends_with("\r\n\r\nhi"), "{seen}");
            let calls = |wire: &Wire<Counted>| (wire.stream.reads, wire.stream.writes);
            assert_eq!((calls(&client), calls(&service)), ((1, 1), (1, 1)), "{request}, {instead}");
        }
    }
}
