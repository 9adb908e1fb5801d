//! Every scene is played twice, over connections whose bytes may be spliced and over ones whose bytes are copied: both
//! ends must see the same.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::spliced;
use crate::act::exchange::{Answering, Bounds, Cause, ExchangeError, Finished, Next, Reached, Sending, Side, exchange};
use crate::act::passthrough::{Passed, tunnel};
use crate::act::{Stream, Wire, fakes};
use crate::http::RequestHead;

const LARGE: usize = 12 << 20;
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// A connection that hides what it is.
struct Copied(TcpStream);

impl Stream for Copied {}

impl AsyncRead for Copied {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Copied {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let far = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("accepted");
    (far, listener.accept().await.expect("a connection").0)
}

fn body() -> Vec<u8> {
    (0..LARGE).map(|at| (at % 251) as u8).collect()
}

fn post(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

async fn run<S: Stream>(request: &str, client: S, service: S) -> Result<Finished, ExchangeError> {
    let config = fakes::config();
    let raw = BytesMut::from(request).freeze();
    let head = RequestHead::parse(raw, 20).expect("well-formed");
    let sending = Sending { request: &head, head: head.raw().clone(), kept: None };
    let bounds = Bounds::new(&config.limits, &config.timeouts);
    let (mut client, mut service) = (Wire::new(client), Wire::new(service));
    exchange(&mut client, &mut service, sending, Answering::AS_IT_IS, bounds).await
}

/// Plays `far` at both far ends of an exchange; the request's head counts as read.
async fn play<F: Future>(
    copied: bool,
    request: &str,
    far: impl FnOnce(TcpStream, TcpStream) -> F,
) -> (Result<Finished, ExchangeError>, F::Output) {
    let ((far_client, client), (far_service, service)) = (pair().await, pair().await);
    let far = far(far_client, far_service);
    let both = async {
        match copied {
            true => tokio::join!(run(request, Copied(client), Copied(service)), far),
            false => tokio::join!(run(request, client, service), far),
        }
    };
    timeout(Duration::from_secs(60), Box::pin(both)).await.expect("an end")
}

/// Skips a message's head.
async fn head(from: &mut TcpStream) {
    let mut last = [0; 4];
    while &last != b"\r\n\r\n" {
        last.rotate_left(1);
        last[3] = from.read_u8().await.expect("open");
    }
}

/// Reads slowly, so that what is on its way piles up.
async fn read_slowly(from: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut seen = vec![0; length];
    for piece in seen.chunks_mut(1 << 20) {
        from.read_exact(piece).await.expect("open");
        sleep(Duration::from_millis(2)).await;
    }
    seen
}

#[tokio::test]
async fn bodies_arrive_whole_at_slow_readers() {
    for copied in [true, false] {
        let before = spliced();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
        let (finished, ()) = play(copied, &post(LARGE), async |mut client, mut service| {
            let up = body();
            let ((), seen) = tokio::join!(async { client.write_all(&up).await.expect("open") }, async {
                head(&mut service).await;
                read_slowly(&mut service, LARGE).await
            });
            assert!(seen == up);
            let ((), seen) = tokio::join!(
                async {
                    service.write_all(answer.as_bytes()).await.expect("open");
                    service.write_all(&up).await.expect("open");
                },
                async {
                    head(&mut client).await;
                    read_slowly(&mut client, LARGE).await
                }
            );
            assert!(seen == up);
        })
        .await;
        let whole = Finished { status: 200, bytes_in: LARGE as u64, bytes_out: LARGE as u64, next: Next::Request };
        assert_eq!(finished.expect("an exchange"), whole);
        assert!(copied || spliced() - before >= LARGE as u64);
    }
}

#[tokio::test]
async fn chunks_and_what_ends_with_the_connection_go_on_too() {
    for copied in [true, false] {
        let request = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (finished, ()) = play(copied, request, async |mut client, mut service| {
            let mut up = Vec::new();
            for chunk in body().chunks(3 << 20) {
                up.extend_from_slice(format!("{:x};a=b\r\n", chunk.len()).as_bytes());
                up.extend_from_slice(chunk);
                up.extend_from_slice(b"\r\n");
            }
            up.extend_from_slice(b"0\r\nX-T: 1\r\n\r\n");
            let ((), seen) = tokio::join!(async { client.write_all(&up).await.expect("open") }, async {
                head(&mut service).await;
                read_slowly(&mut service, up.len()).await
            });
            assert!(seen == up);
            let down = body();
            let (mut seen, ()) = (Vec::new(), ());
            let write = async {
                service.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("open");
                service.write_all(&down).await.expect("open");
                drop(service);
            };
            let read = async {
                head(&mut client).await;
                seen = read_slowly(&mut client, LARGE).await;
            };
            tokio::join!(write, read);
            assert!(seen == down);
        })
        .await;
        let finished = finished.expect("an exchange");
        assert_eq!((finished.bytes_out, finished.next), (LARGE as u64, Next::End));
    }
}

#[tokio::test]
async fn resets_in_the_middle_are_told_apart() {
    for copied in [true, false] {
        // The client goes.
        let (broken, ()) = play(copied, &post(LARGE), async |mut client, mut service| {
            client.write_all(&body()[..LARGE / 2]).await.expect("open");
            head(&mut service).await;
            read_slowly(&mut service, LARGE / 4).await;
            client.set_zero_linger().expect("set");
            drop(client);
            let mut rest = Vec::new();
            // However it ends, it ends.
            let _ended = service.read_to_end(&mut rest).await;
        })
        .await;
        let error = broken.expect_err("half a body");
        assert!(matches!(error, ExchangeError { side: Side::Client, reached: Reached::Sent, .. }), "{copied} {error}");
        assert!(!error.body_taken);
        // The service goes, in the midst of its answer.
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let (broken, ()) = play(copied, get, async |mut client, mut service| {
            head(&mut service).await;
            service
                .write_all(post(LARGE).replace("POST / HTTP/1.1", "HTTP/1.1 200 OK").as_bytes())
                .await
                .expect("open");
            let (written, ()) = tokio::join!(
                async {
                    let written = service.write_all(&body()[..LARGE / 2]).await;
                    service.set_zero_linger().expect("set");
                    drop(service);
                    written
                },
                async {
                    head(&mut client).await;
                    read_slowly(&mut client, LARGE / 8).await;
                }
            );
            written.expect("open");
            let mut rest = Vec::new();
            let _ended = client.read_to_end(&mut rest).await;
        })
        .await;
        let error = broken.expect_err("half an answer");
        assert!(matches!(error, ExchangeError { side: Side::Service, reached: Reached::AnswerBegun, .. }), "{error}");
        assert!(matches!(error.cause, Cause::Io(_)), "{error}");
    }
}

#[tokio::test]
async fn an_answer_before_the_uploads_end_reaches_the_client() {
    for copied in [true, false] {
        let (finished, ()) = play(copied, &post(LARGE), async |mut client, mut service| {
            let up = body();
            client.write_all(&up[..LARGE / 4]).await.expect("open");
            head(&mut service).await;
            service.write_all(OK).await.expect("open");
            let mut seen = vec![0; OK.len()];
            client.read_exact(&mut seen).await.expect("an answer while the body is on its way");
            assert_eq!(seen, OK);
            // The service still takes the rest.
            let ((), seen) = tokio::join!(
                async { client.write_all(&up[LARGE / 4..]).await.expect("open") },
                read_slowly(&mut service, LARGE)
            );
            assert!(seen == up);
        })
        .await;
        assert_eq!(finished.expect("an exchange").next, Next::Request);
    }
}

#[tokio::test]
async fn tunnels_carry_much_and_little_both_ways_and_close_one_by_one() {
    for copied in [true, false] {
        let ((far_client, client), (far_service, service)) = (pair().await, pair().await);
        let limit = Duration::from_secs(60);
        let passing = async {
            match copied {
                true => tunnel(&mut Wire::new(Copied(client)), &mut Wire::new(Copied(service)), limit).await,
                false => tunnel(&mut Wire::new(client), &mut Wire::new(service), limit).await,
            }
        };
        let far = async {
            let (mut there, mut back) = (far_client.into_split(), far_service.into_split());
            let much = body();
            let one = async {
                there.1.write_all(b"little").await.expect("open");
                there.1.write_all(&much).await.expect("open");
                there.1.shutdown().await.expect("open");
                let mut seen = Vec::new();
                there.0.read_to_end(&mut seen).await.expect("to its end");
                assert!(seen == much);
            };
            let other = async {
                let mut seen = vec![0; 6];
                back.0.read_exact(&mut seen).await.expect("open");
                assert_eq!(seen, b"little");
                seen.clear();
                back.0.read_to_end(&mut seen).await.expect("to its end");
                assert!(seen == much);
                back.1.write_all(&much).await.expect("open");
                back.1.shutdown().await.expect("open");
            };
            tokio::join!(one, other);
        };
        let (passed, ()) =
            timeout(Duration::from_secs(60), async { tokio::join!(passing, far) }).await.expect("an end");
        let Passed { from_client, to_client, broken, .. } = passed;
        assert_eq!((from_client, to_client), (LARGE as u64 + 6, LARGE as u64));
        assert!(broken.is_none());
    }
}
