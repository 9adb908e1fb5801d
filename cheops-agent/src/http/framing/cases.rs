//! What is let through and what is refused, as a table: RFC section, bytes, what must come of them. The unit tests run it
//! through the parsers, the suite `http` runs it as traffic.

/// What must come of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Every byte goes on as it came.
    Forward,
    /// The client gets this status, and the other end nothing.
    Refuse(u16),
}

use Expected::{Forward, Refuse};

/// A case: where the RFC speaks of it, the whole message, what must come of it.
pub type Case = (&'static str, &'static [u8], Expected);

/// Requests, each the first of its connection.
pub const REQUESTS: &[Case] = &[
    // The request line.
    ("9112 3", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Forward),
    ("9112 2.2", b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", Forward),
    ("9112 2.2", b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 2.2", b"GET / HTTP/1.1\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 2.2", b"GET / HTTP/1.1\r\nHost: x\n\r\n", Refuse(400)),
    ("9112 2.2", b"GET / HTTP/1.1\r\nHost: x\r\n\n", Refuse(400)),
    ("9112 2.2", b"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", Refuse(400)),
    ("9112 2.2", b"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 2.2", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", Refuse(400)),
    ("9112 3", b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 3", b"GET /  HTTP/1.1\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 3", b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 3", b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 3", b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 3", b"GET /\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 3", b"GET HTTP/1.1\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 3", b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 3.1", b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9110 9.1", b"M-SEARCH! / HTTP/1.1\r\nHost: x\r\n\r\n", Forward),
    ("9110 9.1", b"get / HTTP/1.1\r\nHost: x\r\n\r\n", Forward),
    ("9112 3.2.2", b"GET http://y/a?b HTTP/1.1\r\nHost: x\r\n\r\n", Forward),
    ("9112 3.2.4", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", Forward),
    // Versions.
    ("9110 2.5", b"GET / HTTP/1.0\r\n\r\n", Forward),
    ("9110 2.5", b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", Refuse(505)),
    ("9110 2.5", b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", Refuse(505)),
    ("9110 2.5", b"GET / HTTP/0.9\r\nHost: x\r\n\r\n", Refuse(505)),
    ("9112 2.3", b"GET / HTTP/1.10\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 2.3", b"GET / HTTP/1\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 2.3", b"GET / http/1.1\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 2.3", b"GET / HTTP/+1.1\r\nHost: x\r\n\r\n", Refuse(400)),
    // Host.
    ("9112 3.2", b"GET / HTTP/1.1\r\n\r\n", Refuse(400)),
    ("9112 3.2", b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", Refuse(400)),
    ("9112 3.2", b"GET / HTTP/1.0\r\nHost: x\r\nhOST: y\r\n\r\n", Refuse(400)),
    ("9112 3.2", b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", Refuse(400)),
    ("9112 3.2", b"GET / HTTP/1.1\r\nHost: u@x\r\n\r\n", Refuse(400)),
    ("9112 3.2", b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", Refuse(400)),
    ("9112 3.2", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", Forward),
    ("9112 3.2", b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", Forward),
    // Field lines.
    ("9112 5.1", b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", Refuse(400)),
    ("9112 5.1", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", Refuse(400)),
    ("9112 5.1", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length : 0\r\n\r\n", Refuse(400)),
    ("9112 5", b"GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", Refuse(400)),
    ("9112 5", b"GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n", Refuse(400)),
    ("9110 5.1", b"GET / HTTP/1.1\r\nHost: x\r\nA@: b\r\n\r\n", Refuse(400)),
    ("9110 5.1", b"GET / HTTP/1.1\r\nHost: x\r\nA\xff: b\r\n\r\n", Refuse(400)),
    ("9112 5.2", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", Refuse(400)),
    ("9112 5.2", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\tc\r\n\r\n", Refuse(400)),
    ("9112 5.2", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", Refuse(400)),
    ("9110 5.5", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", Refuse(400)),
    ("9110 5.5", b"GET / HTTP/1.1\r\nHost: x\r\nA: \x07\r\n\r\n", Refuse(400)),
    ("9110 5.5", b"GET / HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n", Refuse(400)),
    ("9110 5.5", b"GET / HTTP/1.1\r\nHost: x\r\nA: caf\xe9\r\n\r\n", Forward),
    ("9110 5.5", b"GET / HTTP/1.1\r\nHost: x\r\nA:\r\nB:\t b \t\r\n\r\n", Forward),
    ("9110 5.1", b"GET / HTTP/1.1\r\nHost: x\r\nContent_Length: 5\r\n\r\n", Forward),
    // Content-Length.
    ("9112 6.2", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", Forward),
    ("9112 6.2", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", Forward),
    ("9112 6.2", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 002\r\n\r\nab", Forward),
    ("9112 6.3", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab", Refuse(400)),
    ("9112 6.3", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\ncontent-length: 3\r\n\r\nabc", Refuse(400)),
    ("9110 8.6", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\nab", Refuse(400)),
    ("9110 8.6", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\nab", Refuse(400)),
    ("9110 8.6", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\nab", Refuse(400)),
    ("9110 8.6", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x2\r\n\r\nab", Refuse(400)),
    ("9110 8.6", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2 2\r\n\r\nab", Refuse(400)),
    ("9110 8.6", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", Refuse(400)),
    ("9110 8.6", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\t\r\n\r\nab", Refuse(400)),
    ("9110 8.6", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", Refuse(400)),
    // Transfer-Encoding.
    ("9112 7.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", Forward),
    ("9112 7", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", Forward),
    ("9112 6.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Forward),
    (
        "9112 6.1",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Forward,
    ),
    (
        "9112 6.3",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refuse(400),
    ),
    (
        "9112 6.3",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        Refuse(400),
    ),
    ("9112 6.1", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refuse(400)),
    ("9112 6.3", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", Refuse(400)),
    ("9112 6.3", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", Refuse(400)),
    ("9112 6.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Refuse(400)),
    (
        "9112 6.1",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refuse(400),
    ),
    ("9112 6.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", Refuse(400)),
    ("9112 6.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Refuse(400)),
    ("9112 6.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", Refuse(400)),
    ("9112 6.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", Refuse(400)),
    ("9112 6.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", Refuse(400)),
    ("9112 6.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", Refuse(400)),
    ("9112 6.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n", Refuse(400)),
    ("9112 6.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Refuse(400)),
    ("9112 6.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", Refuse(400)),
    // Chunks.
    (
        "9112 7.1.1",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\"b\"\r\na\r\n0\r\n\r\n",
        Forward,
    ),
    ("9112 7.1.2", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", Forward),
    ("9112 7.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", Refuse(400)),
    ("9112 7.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n", Refuse(400)),
    ("9112 7.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n", Refuse(400)),
    ("9112 7.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n", Refuse(400)),
    ("9112 7.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", Refuse(400)),
    ("9112 7.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n", Refuse(400)),
    ("9112 7.1.1", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;\n\r\na\r\n", Refuse(400)),
    (
        "9110 6.5.1",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: y\r\n\r\n",
        Refuse(400),
    ),
    // CONNECT.
    ("9110 9.3.6", b"CONNECT y:1 HTTP/1.1\r\nHost: y:1\r\n\r\n", Forward),
    ("9110 9.3.6", b"CONNECT y:1 HTTP/1.1\r\nHost: y:1\r\nContent-Length: 1\r\n\r\na", Refuse(400)),
    ("9110 9.3.6", b"CONNECT y:1 HTTP/1.1\r\nHost: y:1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refuse(400)),
];

/// Answers to `GET /`.
pub const ANSWERS: &[Case] = &[
    ("9112 4", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Forward),
    ("9112 4", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Forward),
    ("9112 4", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", Forward),
    ("9112 4", b"HTTP/1.1 200 caf\xe9\r\nContent-Length: 0\r\n\r\n", Forward),
    ("9112 4", b"HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n", Forward),
    ("9110 15", b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n", Refuse(502)),
    ("9112 4", b"HTTP/1.1 20 Short\r\nContent-Length: 0\r\n\r\n", Refuse(502)),
    ("9112 4", b"HTTP/1.1 2000 Long\r\nContent-Length: 0\r\n\r\n", Refuse(502)),
    ("9112 4", b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n", Refuse(502)),
    ("9110 2.5", b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", Refuse(502)),
    ("9110 2.5", b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Forward),
    ("9112 2.2", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", Refuse(502)),
    ("9112 5.1", b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", Refuse(502)),
    ("9112 5.2", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", Refuse(502)),
    ("9110 5.5", b"HTTP/1.1 200 OK\r\nA: b\0\r\nContent-Length: 0\r\n\r\n", Refuse(502)),
    ("9112 6.3", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", Refuse(502)),
    ("9112 6.3", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refuse(502)),
    ("9110 8.6", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Refuse(502)),
    ("9110 8.6", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", Forward),
    ("9110 8.6", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Forward),
    ("9112 6.1", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refuse(502)),
    ("9112 7.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\nT: u\r\n\r\n", Forward),
    ("9112 7.1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab", Refuse(502)),
    ("9112 6.3", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nuntil close", Forward),
    ("9112 6.3", b"HTTP/1.1 200 OK\r\n\r\nuntil close", Forward),
    ("9110 15.2.2", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Refuse(502)),
    ("9110 15.2", b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Forward),
];
