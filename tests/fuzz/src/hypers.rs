//! The same requests as another HTTP/1 reads them: hyper's server, on bytes that are all there.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use cheops_agent::http::BodyLength;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::framing::Message;

/// A request, and its body if that is well-formed and whole.
pub struct Read {
    head: http::request::Parts,
    body: Option<Bytes>,
}

/// Every request that hyper hands to its service.
pub fn read(data: &[u8]) -> Vec<Read> {
    let found = RefCell::new(Vec::new());
    let service = service_fn(|request: Request<Incoming>| async {
        let (head, body) = request.into_parts();
        let body = body.collect().await.ok().map(|body| body.to_bytes());
        found.borrow_mut().push(Read { head, body });
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).half_close(true);
    let mut connection = pin!(http.serve_connection(Wire(Bytes::copy_from_slice(data)), service));
    // Nothing here ever waits, but hyper yields now and then.
    for _ in 0..1000 {
        if connection.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            break;
        }
    }
    found.take()
}

/// What one of us takes for a whole request must be one to the other, with the same fields and the same body.
pub fn compare(ours: &Message<'_>, theirs: &Read) {
    let head = &ours.head;
    assert_eq!(head.method(), theirs.head.method.as_str());
    if let (true, Some(target)) = (head.target().starts_with('/'), theirs.head.uri.path_and_query()) {
        // hyper leaves a fragment out.
        assert_eq!(head.target().split('#').next(), Some(target.as_str()));
    }
    assert_eq!(head.fields().len(), theirs.head.headers.len());
    for name in theirs.head.headers.keys() {
        let values = head.named(name.as_str()).map(|field| head.value(field));
        assert!(values.eq(theirs.head.headers.get_all(name).iter().map(|value| value.as_bytes())), "{name}");
    }
    if let Some(body) = &theirs.body {
        assert_eq!(plain(ours).as_slice(), body);
    }
}

/// A body's data.
pub fn plain(message: &Message<'_>) -> Vec<u8> {
    if message.head.length() == BodyLength::Chunked { dechunked(message.body) } else { message.body.to_vec() }
}

/// The data of a well-formed chunked body.
pub fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let digits = body.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = std::str::from_utf8(&body[..digits]).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let line = body.windows(2).position(|two| two == b"\r\n").expect("the size's line ends") + 2;
        if size == 0 {
            return data;
        }
        data.extend_from_slice(&body[line..line + size]);
        body = &body[line + size + 2..];
    }
}

/// A connection whose other end has sent everything, and drops what it gets.
struct Wire(Bytes);

impl hyper::rt::Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut to: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let length = to.remaining().min(self.0.len());
        to.put_slice(&self.0.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, from: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(from.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
