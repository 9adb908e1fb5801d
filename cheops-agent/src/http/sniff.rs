//! What a connection speaks, told from the client's first bytes.

use memchr::{memchr, memmem};

use super::body::is_token;

/// What a client's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// More bytes are needed.
    Undecided,
    /// An HTTP/1.x request, well-formed or not.
    Http1,
    /// HTTP/2 with prior knowledge (RFC 9113, 3.4).
    Http2,
    /// A TLS handshake record (RFC 8446, 5.1).
    Tls,
    /// Neither of these.
    Other,
}

/// The client's connection preface (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// No method is longer; what is, isn't one.
const LONGEST_METHOD: usize = 64;
/// Methods that nothing but HTTP begins with: bytes like these are HTTP even when the rest of the line is wrong, and are
/// worth waiting for.
const METHODS: [&[u8]; 9] = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"];

/// What `bytes`, all that the client has sent so far, are.
pub fn sniff(bytes: &[u8]) -> Sniffed {
    // Empty lines before a request (RFC 9112, 2.2).
    let lead = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = bytes.get(lead..).unwrap_or_default();
    match bytes {
        [] | [0x16] => return Sniffed::Undecided,
        [0x16, 0x03, ..] => return Sniffed::Tls,
        _ if bytes.starts_with(PREFACE) => return Sniffed::Http2,
        _ if PREFACE.starts_with(bytes) => return Sniffed::Undecided,
        _ => {}
    }
    let method = bytes.iter().take_while(|byte| is_token(**byte)).count();
    if METHODS.contains(&bytes.get(..method).unwrap_or_default()) && method < bytes.len() {
        return Sniffed::Http1;
    }
    match bytes.get(method) {
        None if method <= LONGEST_METHOD => Sniffed::Undecided,
        Some(b' ') if (1..=LONGEST_METHOD).contains(&method) => line(bytes.get(method..).unwrap_or_default()),
        // A method that is none, in a line that is HTTP's all the same, if the whole of it is there.
        _ => match line(bytes) {
            Sniffed::Http1 => Sniffed::Http1,
            _ => Sniffed::Other,
        },
    }
}

/// A line that begins like one of HTTP, from the space after its first word: HTTP when it names the protocol.
fn line(rest: &[u8]) -> Sniffed {
    let end = memchr(b'\n', rest);
    let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let names_http = memmem::find(&line.to_ascii_uppercase(), b" HTTP/").is_some();
    let binary = line.iter().any(|byte| byte.is_ascii_control() && !matches!(byte, b'\r' | b'\t'));
    match end {
        _ if names_http => Sniffed::Http1,
        None if !binary => Sniffed::Undecided,
        _ => Sniffed::Other,
    }
}

/// Whether undecided bytes begin like a request with a usual method, so that a slow client is waited for. Other
/// undecided bytes that stand still are not HTTP.
pub fn is_worth_waiting(bytes: &[u8]) -> bool {
    let lead = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = bytes.get(lead..).unwrap_or_default();
    PREFACE.starts_with(bytes) || METHODS.iter().any(|method| method.starts_with(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_are_told_apart() {
        for (bytes, expected) in [
            (&b""[..], Sniffed::Undecided),
            (b"\r\n", Sniffed::Undecided),
            (b"G", Sniffed::Undecided),
            (b"GET", Sniffed::Undecided),
            (b"GET ", Sniffed::Http1),
            (b"\r\nGET ", Sniffed::Http1),
            (b"GET\t/", Sniffed::Http1),
            (b"GET /\r\n", Sniffed::Http1),
            (b"PURGE", Sniffed::Undecided),
            (b"PURGE /x", Sniffed::Undecided),
            (b"PURGE /x HTTP/1.1\r\n", Sniffed::Http1),
            (b"get /x http/1.1\r\n", Sniffed::Http1),
            (b"PRI", Sniffed::Undecided),
            (b"PRI * HTTP/2.0\r\n\r\n", Sniffed::Undecided),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Sniffed::Http2),
            (b"PRI * HTTP/2.0\r\n\r\nXX", Sniffed::Http1),
            (b"\x16", Sniffed::Undecided),
            (b"\x16\x03\x01\x02\x00", Sniffed::Tls),
            (b"\x16\x04", Sniffed::Other),
            (b"SSH-2.0-x\r\n", Sniffed::Other),
            (b"*1\r\n$4\r\nPING\r\n", Sniffed::Other),
            (b"EHLO there\r\n", Sniffed::Other),
            (b"hello", Sniffed::Undecided),
            (b"hello\n", Sniffed::Other),
            (b"\x00\x00", Sniffed::Other),
            (b"A \x00", Sniffed::Other),
            (b" GET /", Sniffed::Other),
            (b"G@T / HTTP/1.1\r\n", Sniffed::Http1),
            (b"PURGE /\x01 HTTP/1.1\r\n", Sniffed::Http1),
        ] {
            assert_eq!(sniff(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(sniff(&[b'a'; LONGEST_METHOD + 1]), Sniffed::Other);
    }

    #[test]
    fn a_request_is_never_taken_for_something_else_while_it_arrives() {
        for request in [
            "GET / HTTP/1.1\r\n",
            "\r\nM-SEARCH * HTTP/1.1\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "PROPFIND /a b HTTP/1.1\r\n",
        ] {
            for length in 0..request.len() {
                let sniffed = sniff(&request.as_bytes()[..length]);
                assert!(matches!(sniffed, Sniffed::Undecided | Sniffed::Http1), "{:?}", &request[..length]);
            }
        }
    }

    #[test]
    fn only_beginnings_of_usual_methods_are_waited_for() {
        for bytes in ["", "\r\n", "P", "PO", "POST", "PRI * "] {
            assert!(is_worth_waiting(bytes.as_bytes()), "{bytes:?}");
        }
        for bytes in ["hello", "PING", "GETX"] {
            assert!(!is_worth_waiting(bytes.as_bytes()), "{bytes:?}");
        }
    }
}
