//! Answers.

use super::Case;
use super::Expected::{Forward, Refuse};

/// Their heads.
pub const HEADS: &[Case] = &[
    ("9112 4", answer!("HTTP/1.1 200 OK", "Content-Length: 0\r\n", ""), Forward),
    ("9112 4, no reason", answer!("HTTP/1.1 200", "Content-Length: 0\r\n", ""), Forward),
    ("9112 4, no reason", answer!("HTTP/1.1 200 ", "Content-Length: 0\r\n", ""), Forward),
    ("9112 4", b"HTTP/1.1 200 caf\xe9\r\nContent-Length: 0\r\n\r\n", Forward),
    ("9112 4, reason", answer!("HTTP/1.1 200 O\0K", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, reason", answer!("HTTP/1.1 200 O\rK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4", answer!("HTTP/1.1 799 Odd", "Content-Length: 0\r\n", ""), Forward),
    ("9110 15, status", answer!("HTTP/1.1 099 Low", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9110 15, status", answer!("HTTP/1.1 000 Nil", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, status", answer!("HTTP/1.1 99 Low", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, status", answer!("HTTP/1.1 20 Short", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, status", answer!("HTTP/1.1 1000 Long", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, status", answer!("HTTP/1.1 2000 Long", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, status", answer!("HTTP/1.1 2x0 OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, status", answer!("HTTP/1.1 OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, status", answer!("HTTP/1.1 +200 OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, status", answer!("HTTP/1.1 -20 OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, status", answer!("HTTP/1.1 200OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, status", answer!("HTTP/1.1", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, white space", answer!("HTTP/1.1  200 OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, white space", answer!("HTTP/1.1\t200 OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4, white space", answer!(" HTTP/1.1 200 OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4", answer!("ICY 200 OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9112 4", answer!("http/1.1 200 OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9110 2.5", answer!("HTTP/2 200 OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9110 2.5", answer!("HTTP/2.0 200 OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9110 2.5", answer!("HTTP/1.2 200 OK", "Content-Length: 0\r\n", ""), Refuse(502)),
    ("9110 2.5", answer!("HTTP/1.0 200 OK", "Content-Length: 0\r\n", ""), Forward),
    // HTTP/0.9: bytes without a head.
    ("9112 4, HTTP/0.9", b"<html>\r\n\r\n", Refuse(502)),
    // Allowed to a lenient recipient, and done by small devices; clients differ in what an LF inside a value is.
    ("9112 2.2, bare LF", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", Refuse(502)),
    ("9112 2.2, bare LF", answer!("HTTP/1.1 200 OK", "A: b\nContent-Length: 0\r\n", ""), Refuse(502)),
    ("9112 2.2, bare CR", answer!("HTTP/1.1 200 OK", "A: b\rC: d\r\nContent-Length: 0\r\n", ""), Refuse(502)),
    ("9112 5.1, space before the colon", answer!("HTTP/1.1 200 OK", "Content-Length : 0\r\n", ""), Refuse(502)),
    (
        "9112 5.1, space before the colon",
        answer!("HTTP/1.1 200 OK", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        Refuse(502),
    ),
    ("9112 5, no colon", answer!("HTTP/1.1 200 OK", "A\r\nContent-Length: 0\r\n", ""), Refuse(502)),
    ("9112 5, no name", answer!("HTTP/1.1 200 OK", ": a\r\nContent-Length: 0\r\n", ""), Refuse(502)),
    ("9112 5.2, obs-fold", answer!("HTTP/1.1 200 OK", "A: b\r\n c\r\nContent-Length: 0\r\n", ""), Refuse(502)),
    ("9112 5.2, obs-fold", answer!("HTTP/1.1 200 OK", " A: b\r\nContent-Length: 0\r\n", ""), Refuse(502)),
    ("9110 5.5, NUL", answer!("HTTP/1.1 200 OK", "A: b\0\r\nContent-Length: 0\r\n", ""), Refuse(502)),
    ("9110 5.1, NUL", answer!("HTTP/1.1 200 OK", "A\0: b\r\nContent-Length: 0\r\n", ""), Refuse(502)),
    // File names in Content-Disposition, as old servers write them.
    ("9110 5.5, obs-text", b"HTTP/1.1 200 OK\r\nA: caf\xe9\r\nContent-Length: 0\r\n\r\n", Forward),
];

/// Where they end.
pub const BODIES: &[Case] = &[
    ("9112 6.2", answer!("HTTP/1.1 200 OK", "Content-Length: 2\r\n", "ab"), Forward),
    ("9112 6.3, until close", answer!("HTTP/1.1 200 OK", "", "until close"), Forward),
    ("9112 6.3, until close", answer!("HTTP/1.0 200 OK", "", "until close"), Forward),
    ("9112 6.3, until close", answer!("HTTP/1.1 200 OK", "Connection: keep-alive\r\n", "until close"), Forward),
    (
        "9112 6.3, two lengths",
        answer!("HTTP/1.1 200 OK", "Content-Length: 0\r\nContent-Length: 0\r\n", ""),
        Refuse(502),
    ),
    (
        "9112 6.3, two lengths",
        answer!("HTTP/1.1 200 OK", "Content-Length: 2\r\nContent-Length: 0\r\n", "ab"),
        Refuse(502),
    ),
    ("9110 8.6, list", answer!("HTTP/1.1 200 OK", "Content-Length: 2, 2\r\n", "ab"), Refuse(502)),
    ("9110 8.6, junk", answer!("HTTP/1.1 200 OK", "Content-Length: x\r\n", ""), Refuse(502)),
    ("9110 8.6, sign", answer!("HTTP/1.1 200 OK", "Content-Length: -1\r\n", ""), Refuse(502)),
    ("9110 8.6, sign", answer!("HTTP/1.1 200 OK", "Content-Length: +2\r\n", "ab"), Refuse(502)),
    ("9110 8.6, empty", answer!("HTTP/1.1 200 OK", "Content-Length:\r\n", ""), Refuse(502)),
    ("9110 8.6, overflow", answer!("HTTP/1.1 200 OK", "Content-Length: 18446744073709551617\r\n", "a"), Refuse(502)),
    (
        "9112 6.3, TE and CL",
        answer!("HTTP/1.1 200 OK", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        Refuse(502),
    ),
    (
        "9112 6.3, TE and CL",
        answer!("HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        Refuse(502),
    ),
    ("9112 6.1, on 1.0", answer!("HTTP/1.0 200 OK", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), Refuse(502)),
    // Clients differ in whether they look for chunked among several, and no service does this.
    ("9112 6.3, not chunked", answer!("HTTP/1.1 200 OK", "Transfer-Encoding: gzip\r\n", "until close"), Refuse(502)),
    ("9112 6.3, several", answer!("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), Refuse(502)),
    (
        "9112 6.3, not last",
        answer!("HTTP/1.1 200 OK", "Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"),
        Refuse(502),
    ),
    ("9112 6.1, identity", answer!("HTTP/1.1 200 OK", "Transfer-Encoding: identity\r\n", "a"), Refuse(502)),
    ("9112 6.1, xchunked", answer!("HTTP/1.1 200 OK", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), Refuse(502)),
    ("9112 6.1, tab", answer!("HTTP/1.1 200 OK", "Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n"), Refuse(502)),
    ("9112 6.1, space behind", answer!("HTTP/1.1 200 OK", "Transfer-Encoding: chunked \r\n", "0\r\n\r\n"), Refuse(502)),
    (
        "9112 6.1, twice",
        answer!("HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        Refuse(502),
    ),
    ("9112 7.1", chunked_answer!("1;x\r\na\r\n0\r\nT: u\r\n\r\n"), Forward),
    ("9112 7.1", chunked_answer!("0\r\n\r\n"), Forward),
    ("9112 7, case", answer!("HTTP/1.1 200 OK", "Transfer-Encoding: Chunked\r\n", "1\r\na\r\n0\r\n\r\n"), Forward),
    ("9112 7.1, longer than its size", chunked_answer!("1\r\nab\r\n0\r\n\r\n"), Refuse(502)),
    ("9112 7.1, bare LF", chunked_answer!("1\na\n0\n\n"), Refuse(502)),
    ("9112 7.1, no size", chunked_answer!("a body that isn't chunked\r\n"), Refuse(502)),
    ("9112 7.1, overflow", chunked_answer!("fffffffffffffffff\r\na"), Refuse(502)),
    ("9112 7.1, sign", chunked_answer!("-1\r\na\r\n0\r\n\r\n"), Refuse(502)),
    // Old servers fill the place of the size up with spaces; not all clients take it.
    ("9112 7.1, space", chunked_answer!("1  \r\na\r\n0\r\n\r\n"), Refuse(502)),
    ("9110 6.5.1, a trailer", chunked_answer!("0\r\nContent-Length: 9\r\n\r\n"), Refuse(502)),
    // The length that the answer to a GET would have had.
    ("9110 8.6, 304", answer!("HTTP/1.1 304 Not Modified", "Content-Length: 7\r\n", ""), Forward),
    ("9112 6.1, 304", answer!("HTTP/1.1 304 Not Modified", "Transfer-Encoding: chunked\r\n", ""), Forward),
    // Forbidden, and done by services in use (eventlet, for one). All clients know that it has no body.
    ("9110 8.6, 204", answer!("HTTP/1.1 204 No Content", "Content-Length: 0\r\n", ""), Forward),
    ("9110 8.6, 204", answer!("HTTP/1.1 204 No Content", "Content-Length: 7\r\n", ""), Forward),
    ("9112 6.1, 204", answer!("HTTP/1.1 204 No Content", "Transfer-Encoding: chunked\r\n", ""), Forward),
    // Its body is delimited as any other (RFC 9112, 6.3).
    ("9110 15.3.6, 205", answer!("HTTP/1.1 205 Reset Content", "Content-Length: 0\r\n", ""), Forward),
    ("9110 15.3.6, 205", answer!("HTTP/1.1 205 Reset Content", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), Forward),
    ("9110 15.3.6, 205 with a body", answer!("HTTP/1.1 205 Reset Content", "Content-Length: 2\r\n", "ab"), Forward),
    ("9110 15.2.2, 101 unasked", answer!("HTTP/1.1 101 Switching Protocols", "", ""), Refuse(502)),
    (
        "9110 15.2.2, 101 unasked",
        answer!("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade\r\nUpgrade: h2c\r\n", ""),
        Refuse(502),
    ),
    (
        "9110 15.2",
        answer!("HTTP/1.1 103 Early Hints", "A: b\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Forward,
    ),
    ("9110 15.2", answer!("HTTP/1.1 100 Continue", "", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Forward),
    (
        "9110 8.6, 1xx",
        answer!("HTTP/1.1 100 Continue", "Content-Length: 2\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Refuse(502),
    ),
    (
        "9110 8.6, 1xx",
        answer!("HTTP/1.1 102 Processing", "Content-Length: 0\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Refuse(502),
    ),
    (
        "9112 6.1, 1xx",
        answer!(
            "HTTP/1.1 103 Early Hints",
            "Transfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        ),
        Refuse(502),
    ),
];
