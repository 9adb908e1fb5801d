//! The agent is about to end: each answer tells its client that the connection ends with it (RFC 9112, 9.6), so that no
//! request is lost with a connection that is closed under its feet.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{BufMut, Bytes, BytesMut};
use tokio_util::sync::CancellationToken;

/// Whether connections are to end at their next answer. Looking costs no lock.
#[derive(Debug, Default)]
pub struct Closing {
    set: AtomicBool,
    begun: CancellationToken,
}

impl Closing {
    /// From now on.
    pub fn begin(&self) {
        self.set.store(true, Ordering::Relaxed);
        self.begun.cancel();
    }

    /// Whether it has begun.
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }

    /// Resolves when it has begun.
    pub fn begun(&self) -> &CancellationToken {
        &self.begun
    }
}

/// An answer's head with `Connection: close`, and without what says the opposite. Every other byte is as it was.
pub fn closed(head: &Bytes) -> Bytes {
    let mut closed = BytesMut::with_capacity(head.len() + CLOSE.len());
    for line in head.split_inclusive(|byte| *byte == b'\n').take_while(|line| *line != b"\r\n" && *line != b"\n") {
        match says(line) {
            Says::Close => return head.clone(),
            Says::Stay => {}
            Says::Other => closed.put_slice(line),
        }
    }
    closed.put_slice(CLOSE);
    closed.freeze()
}

/// The field, and the head's end.
const CLOSE: &[u8] = b"Connection: close\r\n\r\n";

/// What a line says about the connection.
enum Says {
    Close,
    Stay,
    Other,
}

fn says(line: &[u8]) -> Says {
    let Some((name, value)) = line.iter().position(|byte| *byte == b':').and_then(|at| line.split_at_checked(at))
    else {
        return Says::Other;
    };
    if name.eq_ignore_ascii_case(b"keep-alive") {
        return Says::Stay;
    }
    if !name.eq_ignore_ascii_case(b"connection") {
        return Says::Other;
    }
    let mut tokens = value.get(1..).unwrap_or_default().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    if tokens.clone().any(|token| token.eq_ignore_ascii_case(b"close")) {
        Says::Close
    } else if tokens.all(|token| token.is_empty() || token.eq_ignore_ascii_case(b"keep-alive")) {
        Says::Stay
    } else {
        Says::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_the_connection_changes() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
            ("HTTP/1.1 200 OK\r\na:b\r\nA : \r\n\r\n", "HTTP/1.1 200 OK\r\na:b\r\nA : \r\nConnection: close\r\n\r\n"),
            (
                "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nconnection:Keep-Alive\r\nX: 1\r\n\r\n",
                "HTTP/1.1 200 OK\r\nX: 1\r\nConnection: close\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nConnection: X-Own, keep-alive\r\n\r\n",
                "HTTP/1.1 200 OK\r\nConnection: X-Own, keep-alive\r\nConnection: close\r\n\r\n",
            ),
            ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\n\r\n"),
        ] {
            assert_eq!(closed(&Bytes::from_static(head.as_bytes())), expected.as_bytes(), "{head}");
        }
    }

    #[tokio::test]
    async fn it_begins_once_and_for_all() {
        let closing = Closing::default();
        assert!(!closing.is_set());
        closing.begin();
        closing.begin();
        closing.begun().cancelled().await;
        assert!(closing.is_set());
    }
}
