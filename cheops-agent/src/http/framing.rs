//! Where a message ends, and whether its head is well-formed: the one place that decides it, strictly (RFC 9112).
//!
//! Whatever two readers could take in two ways is refused, also where the RFC lets a recipient be lenient: what the agent
//! lets through byte for byte must mean the same to the service. Everything behind this module trusts it.

use bytes::Bytes;
use memchr::memchr;

use super::error::FramingError;
use super::fields::{Field, Fields, Framing, Part, Says, locate, with_room};
use super::head::{AnswerFrame, AnswerHead, BodyLength, RawHead, RequestHead, Version, persists};

/// Bytes of a body or a chunk: many readers count with a sign.
pub(super) const MAX_LENGTH: u64 = i64::MAX as u64;

/// Looks for the end of a head in what has arrived, byte for byte once: keep it while more arrives.
#[derive(Clone, Debug, Default)]
pub struct HeadEnd {
    /// Up to here everything was looked at.
    seen: usize,
    /// Where the current line starts.
    line: usize,
    /// Whether a line that isn't empty was seen.
    started: bool,
}

impl HeadEnd {
    /// The length of the head, with its empty line, once it is there whole.
    ///
    /// # Errors
    /// When a line ends in a bare LF (RFC 9112, 2.2), or the head grows beyond `limit` bytes.
    pub fn find(&mut self, bytes: &[u8], limit: usize) -> Result<Option<usize>, FramingError> {
        while let Some(at) = memchr(b'\n', bytes.get(self.seen..).unwrap_or_default()).map(|at| self.seen + at) {
            if at == self.line || bytes.get(at - 1) != Some(&b'\r') {
                return Err(FramingError::Malformed("a line ends in LF without CR"));
            }
            let empty = at - 1 == self.line;
            self.seen = at + 1;
            self.line = at + 1;
            if at >= limit {
                return Err(FramingError::TooLong);
            }
            if empty && self.started {
                return Ok(Some(at + 1));
            }
            self.started |= !empty;
        }
        self.seen = bytes.len();
        if self.seen >= limit { Err(FramingError::TooLong) } else { Ok(None) }
    }

    /// Whether the first line is there whole.
    pub fn has_line(&self) -> bool {
        self.started
    }
}

impl RequestHead {
    /// Reads a whole head, as [`HeadEnd`] found it.
    ///
    /// # Errors
    /// When it is not well-formed, or leaves in doubt where its message ends.
    pub fn parse(raw: Bytes, max_fields: usize) -> Result<Self, FramingError> {
        let (method, target, version, (fields, says, framing)) = with_room(max_fields, |room| {
            let mut parsed = httparse::Request::new(&mut []);
            whole(parsed.parse_with_uninit_headers(&raw, room), &raw)?;
            let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
                return Err(FramingError::Malformed("the request line is not whole"));
            };
            Ok((method.len(), target.len(), minor, locate(&raw, parsed.headers)?))
        })?;
        let start = empty_lines(&raw);
        let method = Part::new(start, start + method);
        let target = Part::new(method.range().end + 1, method.range().end + 1 + target);
        let version = version_of(version);
        let host = target::host(&raw, &framing, version)?;
        let part = |part: Part| raw.get(part.range()).unwrap_or_default();
        target::check(part(method), part(target), host)?;
        let length = match length(&raw, &framing, version)? {
            Announced::Nothing => BodyLength::None,
            Announced::Exact(length) => BodyLength::Exact(length),
            Announced::Chunked => BodyLength::Chunked,
        };
        let head = RequestHead { head: RawHead { raw, fields, says }, method, target, version, length };
        if head.method() == "CONNECT" && !matches!(length, BodyLength::None | BodyLength::Exact(0)) {
            return Err(FramingError::Length("a CONNECT request has no body"));
        }
        Ok(head)
    }
}

impl AnswerHead {
    /// Reads a whole head, as [`HeadEnd`] found it. `method` is its request's.
    ///
    /// # Errors
    /// When it is not well-formed, or leaves in doubt where its message ends.
    pub fn parse(raw: Bytes, max_fields: usize, method: &str) -> Result<Self, FramingError> {
        let (frame, fields, says) = answer_in(&raw, max_fields, method)?;
        Ok(Self { head: RawHead { raw, fields, says }, frame })
    }
}

impl AnswerFrame {
    /// Reads a whole head, as [`HeadEnd`] found it. `method` is its request's.
    ///
    /// # Errors
    /// As [`AnswerHead::parse`].
    pub fn read(raw: &[u8], max_fields: usize, method: &str) -> Result<Self, FramingError> {
        answer_in(raw, max_fields, method).map(|(frame, ..)| frame)
    }
}

fn answer_in(raw: &[u8], max_fields: usize, method: &str) -> Result<(AnswerFrame, Fields, Says), FramingError> {
    let (status, version, (fields, says, framing)) = with_room(max_fields, |room| {
        let mut parsed = httparse::Response::new(&mut []);
        whole(httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, raw, room), raw)?;
        let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
            return Err(FramingError::Malformed("the status line is not whole"));
        };
        Ok((status, minor, locate(raw, parsed.headers)?))
    })?;
    if status < 100 {
        return Err(FramingError::Malformed("the status code is below 100"));
    }
    let version = version_of(version);
    let announced = length(raw, &framing, version)?;
    if matches!(status, 100 | 102..=199) && !matches!(announced, Announced::Nothing) {
        return Err(FramingError::Length("an interim answer has no body"));
    }
    let bodiless =
        method == "HEAD" || matches!(status, 100..=199 | 204 | 304) || (method == "CONNECT" && status / 100 == 2);
    let length = match announced {
        _ if bodiless => BodyLength::None,
        Announced::Nothing => BodyLength::UntilClose,
        Announced::Exact(length) => BodyLength::Exact(length),
        Announced::Chunked => BodyLength::Chunked,
    };
    let persists = length != BodyLength::UntilClose && persists(says, version);
    Ok((AnswerFrame { status, version, length, persists }, fields, says))
}

/// Whether the head was parsed, to its end.
fn whole(parsed: httparse::Result<usize>, raw: &[u8]) -> Result<(), FramingError> {
    match parsed {
        Ok(httparse::Status::Complete(length)) if length == raw.len() => Ok(()),
        Ok(_) => Err(FramingError::Malformed("the head is not whole")),
        Err(error) => Err(malformed(error, raw)),
    }
}

fn malformed(error: httparse::Error, raw: &[u8]) -> FramingError {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => FramingError::TooManyFields,
        Error::Version if names_a_version(raw) => FramingError::Version,
        Error::Version => FramingError::Malformed("the start line has no HTTP version"),
        Error::HeaderName => FramingError::Malformed("a field's name is not a token followed by a colon"),
        Error::HeaderValue => FramingError::Malformed("a field's value holds a control character"),
        Error::NewLine => FramingError::Malformed("a line does not end in CR LF"),
        Error::Status => FramingError::Malformed("the status line is not well-formed"),
        Error::Token => FramingError::Malformed("the request line is not well-formed"),
    }
}

/// Whether the request line is well-formed but for its version being another (RFC 9112, 2.3).
fn names_a_version(raw: &[u8]) -> bool {
    let line = raw.trim_ascii_start().split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    let is_version = |word: &[u8]| matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit());
    words.next().is_some_and(is_version) && words.next().is_none()
}

fn version_of(minor: u8) -> Version {
    if minor == 0 { Version::Http10 } else { Version::Http11 }
}

/// Bytes of the empty lines that a head may begin with (RFC 9112, 2.2).
fn empty_lines(raw: &[u8]) -> usize {
    raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// What a head says about its body's length.
enum Announced {
    Nothing,
    Exact(u64),
    Chunked,
}

/// RFC 9112, 6.1 to 6.3.
fn length(raw: &[u8], framing: &Framing, version: Version) -> Result<Announced, FramingError> {
    if framing.blurred {
        return Err(FramingError::Length("a field that tells the length is misspelt, or named by Connection"));
    }
    match (framing.transfer_encoding.first, framing.content_length.first) {
        (None, None) => Ok(Announced::Nothing),
        (Some(_), Some(_)) => Err(FramingError::Length("there are both Transfer-Encoding and Content-Length")),
        (Some(_), None) if version == Version::Http10 => {
            Err(FramingError::Length("there is Transfer-Encoding on HTTP/1.0"))
        }
        (Some(_), None) if framing.transfer_encoding.times > 1 => {
            Err(FramingError::Length("there is more than one Transfer-Encoding"))
        }
        (Some(field), None) => transfer_coding(raw, &field),
        (None, Some(_)) if framing.content_length.times > 1 => {
            Err(FramingError::Length("there is more than one Content-Length"))
        }
        (None, Some(field)) => content_length(raw, &field),
    }
}

/// RFC 9110, 8.6: digits and nothing else.
fn content_length(raw: &[u8], field: &Field) -> Result<Announced, FramingError> {
    field.no_tabs(raw)?;
    let value = field.value_in(raw);
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(FramingError::Length("the Content-Length is not a number"));
    }
    let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    length
        .filter(|length| *length <= MAX_LENGTH)
        .map(Announced::Exact)
        .ok_or(FramingError::Length("the Content-Length is too large"))
}

/// RFC 9112, 6.1 and 7: chunked and nothing else. Other codings before it are allowed, but some readers compare the whole
/// value, and some only look for chunked in it; and nobody sends them.
fn transfer_coding(raw: &[u8], field: &Field) -> Result<Announced, FramingError> {
    field.no_tabs(raw)?;
    // Python's http.client takes a space behind it for a part of the value, and reads on until the close.
    let last = field.value_range().end + 2 == field.line_range().end;
    match last && field.value_in(raw).eq_ignore_ascii_case(b"chunked") {
        true => Ok(Announced::Chunked),
        false => Err(FramingError::Length("the transfer coding is not chunked alone")),
    }
}

mod target;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
