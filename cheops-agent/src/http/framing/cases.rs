//! What is let through and what is refused, as a table: where the RFC speaks of it and the attack's name if it has one,
//! the bytes, what must come of them. The unit tests run it through the parsers, the suite `framing` runs it as traffic.
//!
//! Where servers that are in use disagree about a message, it is refused, also when the RFC allows it; where a client or
//! a service that is in use would break by that, it goes on, and the reason stands beside the case.

/// What must come of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Every byte goes on as it came.
    Forward,
    /// The client gets this status, and the other end nothing.
    Refuse(u16),
}

/// A case: the section, the whole message, what must come of it.
pub type Case = (&'static str, &'static [u8], Expected);

/// A request with this first line.
macro_rules! line {
    ($line:literal) => {
        concat!($line, "\r\nHost: x\r\n\r\n").as_bytes()
    };
}

/// A request without a body, with these lines instead of a Host.
macro_rules! host {
    ($lines:literal) => {
        concat!("GET / HTTP/1.1\r\n", $lines, "\r\n").as_bytes()
    };
}

/// A request without a body, with these lines besides the Host.
macro_rules! get {
    ($lines:literal) => {
        concat!("GET / HTTP/1.1\r\nHost: x\r\n", $lines, "\r\n").as_bytes()
    };
}

/// A request with these lines besides the Host, and this body.
macro_rules! post {
    ($lines:literal, $body:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: x\r\n", $lines, "\r\n", $body).as_bytes()
    };
}

/// A request with this `Transfer-Encoding`, from behind its colon, and an empty chunked body.
macro_rules! coded {
    ($value:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:", $value, "\r\n\r\n0\r\n\r\n").as_bytes()
    };
}

/// A request with this `Content-Length`, from behind its colon, and two bytes.
macro_rules! sized {
    ($value:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length:", $value, "\r\n\r\nab").as_bytes()
    };
}

/// A request with this chunked body.
macro_rules! chunks {
    ($body:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", $body).as_bytes()
    };
}

/// An answer with this status line and these lines, and this body.
macro_rules! answer {
    ($status:literal, $lines:literal, $body:literal) => {
        concat!($status, "\r\n", $lines, "\r\n", $body).as_bytes()
    };
}

/// A good answer with this chunked body.
macro_rules! chunked_answer {
    ($body:literal) => {
        concat!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", $body).as_bytes()
    };
}

#[path = "cases/answers.rs"]
mod answers;
#[path = "cases/bodies.rs"]
mod bodies;
#[path = "cases/fields.rs"]
mod fields;
#[path = "cases/lengths.rs"]
mod lengths;
#[path = "cases/lines.rs"]
mod lines;

/// Requests, each the first of its connection.
pub fn requests() -> impl Iterator<Item = &'static Case> {
    [lines::LINES, lines::TARGETS, lines::HOSTS, fields::FIELDS, lengths::LENGTHS, lengths::CODINGS, bodies::BODIES]
        .into_iter()
        .flatten()
}

/// Answers to `GET /`.
pub fn answers() -> impl Iterator<Item = &'static Case> {
    [answers::HEADS, answers::BODIES].into_iter().flatten()
}
