//! Heads of messages with their bytes as they came (RFC 9112, 2 to 5). Nothing here rewrites a byte: a head goes on as
//! [`raw`](RawHead::raw), or as [`without`](RawHead::without) some of its ranges.

use std::ops::{Deref, Range};

use bytes::{BufMut, Bytes, BytesMut};

use super::fields::{Field, Fields, Part, Says, tokens};

/// The protocol versions that are spoken here. Any other is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

/// How a message's body is delimited (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none, whatever the fields say (HEAD, 1xx, 204, 304), or nothing announces one.
    None,
    /// `Content-Length`, also 0.
    Exact(u64),
    /// `Transfer-Encoding` that ends in `chunked`.
    Chunked,
    /// An answer's body that ends with the connection.
    UntilClose,
}

/// What requests and answers have in common: the bytes, from the start line to the empty line, and the fields.
#[derive(Clone, Debug)]
pub struct RawHead {
    pub(super) raw: Bytes,
    pub(super) fields: Fields,
    pub(super) says: Says,
}

impl RawHead {
    /// Every byte of the head, with the empty line at its end, and empty lines before it if the sender sent some.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The fields in their order, duplicates apart.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// A field's name, in the case in which it came.
    pub fn name(&self, field: &Field) -> &str {
        self.text(field.name)
    }

    /// A field's value without the white space around it. May hold bytes above 127 (RFC 9110, 5.5, obs-text).
    pub fn value(&self, field: &Field) -> &[u8] {
        self.bytes(field.value)
    }

    /// The fields of this name, compared without case.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |field| self.bytes(field.name).eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The value of the first field of this name.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.named(name).next().map(|field| self.value(field))
    }

    /// Whether a comma-separated field such as `Connection` holds this token, compared without case (RFC 9110, 5.6.1).
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        let mut items = self.named(name).flat_map(|field| tokens(self.value(field)));
        items.any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The head without these ranges, which must be in order and apart.
    pub fn without(&self, cut: &[Range<usize>]) -> Bytes {
        if cut.is_empty() {
            return self.raw.clone();
        }
        let mut kept = BytesMut::with_capacity(self.raw.len());
        let mut from = 0;
        for range in cut {
            kept.put_slice(self.raw.get(from..range.start).unwrap_or_default());
            from = from.max(range.end);
        }
        kept.put_slice(self.raw.get(from..).unwrap_or_default());
        kept.freeze()
    }

    /// The head with other text in these ranges, which must be apart; what begins at the same place keeps its order.
    pub fn edited(&self, mut edits: Vec<(Range<usize>, String)>) -> Bytes {
        if edits.is_empty() {
            return self.raw.clone();
        }
        edits.sort_by_key(|(range, _)| range.start);
        let mut out = BytesMut::with_capacity(self.raw.len() + 64);
        let mut at = 0;
        for (range, text) in edits {
            out.put_slice(self.raw.get(at..range.start).unwrap_or_default());
            out.put_slice(text.as_bytes());
            at = range.end;
        }
        out.put_slice(self.raw.get(at..).unwrap_or_default());
        out.freeze()
    }

    fn bytes(&self, part: Part) -> &[u8] {
        self.raw.get(part.range()).unwrap_or_default()
    }

    fn text(&self, part: Part) -> &str {
        std::str::from_utf8(self.bytes(part)).unwrap_or_default()
    }
}

/// A well-formed request head.
#[derive(Clone, Debug)]
pub struct RequestHead {
    pub(super) head: RawHead,
    pub(super) method: Part,
    pub(super) target: Part,
    pub(super) version: Version,
    pub(super) length: BodyLength,
}

impl RequestHead {
    /// The method; methods are case-sensitive.
    pub fn method(&self) -> &str {
        self.head.text(self.method)
    }

    /// The request target in whichever form it came (RFC 9112, 3.2): `/path?query`, `http://…`, `host:port`, or `*`.
    pub fn target(&self) -> &str {
        self.head.text(self.target)
    }

    /// Where the target stands in the head.
    pub fn target_range(&self) -> Range<usize> {
        self.target.range()
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// How the request's body is delimited; never [`BodyLength::UntilClose`].
    pub fn length(&self) -> BodyLength {
        self.length
    }

    /// Whether the client may send another request after this one (RFC 9112, 9.3).
    pub fn persists(&self) -> bool {
        persists(self.head.says, self.version)
    }

    /// Whether it asks to leave HTTP (RFC 9110, 7.8).
    pub fn upgrades(&self) -> bool {
        self.version == Version::Http11 && self.head.says.upgrade && self.head.says.upgrade_token
    }

    /// Whether it asks the service for a `100 (Continue)` before it sends the body (RFC 9110, 10.1.1).
    pub fn expects_continue(&self) -> bool {
        self.version == Version::Http11 && self.head.says.expects_continue
    }
}

impl Deref for RequestHead {
    type Target = RawHead;

    fn deref(&self) -> &RawHead {
        &self.head
    }
}

/// What an answer's head says about its message, for those who pass its bytes on as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerFrame {
    /// The status code, 100 to 999.
    pub status: u16,
    pub version: Version,
    /// How the answer's body is delimited.
    pub length: BodyLength,
    /// Whether the service may take another request after this answer (RFC 9112, 9.3).
    pub persists: bool,
}

impl AnswerFrame {
    /// Whether it is 1xx other than 101: another answer to the same request follows (RFC 9110, 15.2).
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// A well-formed answer head, read in the light of its request's method.
#[derive(Clone, Debug)]
pub struct AnswerHead {
    pub(super) head: RawHead,
    pub(super) frame: AnswerFrame,
}

impl AnswerHead {
    /// What the head says about its message.
    pub fn frame(&self) -> AnswerFrame {
        self.frame
    }

    /// The status code, 100 to 999.
    pub fn status(&self) -> u16 {
        self.frame.status
    }

    pub fn version(&self) -> Version {
        self.frame.version
    }

    /// How the answer's body is delimited.
    pub fn length(&self) -> BodyLength {
        self.frame.length
    }

    /// [`AnswerFrame::is_interim`].
    pub fn is_interim(&self) -> bool {
        self.frame.is_interim()
    }

    /// [`AnswerFrame::persists`].
    pub fn persists(&self) -> bool {
        self.frame.persists
    }
}

impl Deref for AnswerHead {
    type Target = RawHead;

    fn deref(&self) -> &RawHead {
        &self.head
    }
}

/// RFC 9112, 9.3.
pub(super) fn persists(says: Says, version: Version) -> bool {
    !says.close && (version == Version::Http11 || says.keep_alive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> RequestHead {
        RequestHead::parse(Bytes::copy_from_slice(text.as_bytes()), 100).expect("well-formed")
    }

    #[test]
    fn parts_are_found_and_bytes_are_kept() {
        let text = "PATCH /a?b=1 HTTP/1.1\r\nhOsT: x\r\nX-A:  one \r\nx-a:\r\n\r\n";
        let head = request(text);
        assert_eq!(head.raw(), text.as_bytes());
        assert_eq!((head.method(), head.target(), head.version()), ("PATCH", "/a?b=1", Version::Http11));
        assert_eq!(&text[head.target_range()], "/a?b=1");
        let fields: Vec<_> = head.fields().iter().map(|field| (head.name(field), head.value(field))).collect();
        assert_eq!(fields, [("hOsT", &b"x"[..]), ("X-A", b"one"), ("x-a", b"")]);
        assert_eq!(head.named("x-A").count(), 2);
        assert_eq!(&text[head.fields()[1].line_range()], "X-A:  one \r\n");
    }

    #[test]
    fn cutting_takes_whole_ranges_out() {
        let head = request("GET /a?scope=1&b=2 HTTP/1.1\r\nHost: x\r\nX-Scope: {A: B}\r\nEnd: 1\r\n\r\n");
        let line = head.named("x-scope").next().expect("there").line_range();
        let target = head.target_range();
        let cut = head.without(&[target.start + 3..target.start + 11, line]);
        assert_eq!(cut, "GET /a?b=2 HTTP/1.1\r\nHost: x\r\nEnd: 1\r\n\r\n");
        assert_eq!(head.without(&[]), head.raw());
    }

    #[test]
    fn persistence_follows_version_and_connection() {
        for (start, connection, persists) in [
            ("GET / HTTP/1.1", "", true),
            ("GET / HTTP/1.1", "Connection: close\r\n", false),
            ("GET / HTTP/1.1", "Connection: x, CLOSE\r\n", false),
            ("GET / HTTP/1.0", "", false),
            ("GET / HTTP/1.0", "Connection: Keep-Alive\r\n", true),
            ("GET / HTTP/1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let head = request(&format!("{start}\r\nHost: x\r\n{connection}\r\n"));
            assert_eq!(head.persists(), persists, "{start} {connection}");
        }
    }

    #[test]
    fn an_upgrade_needs_both_fields_and_1_1() {
        assert!(
            request("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: a, Upgrade\r\n\r\n").upgrades()
        );
        assert!(!request("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n").upgrades());
        assert!(!request("GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n").upgrades());
    }
}
