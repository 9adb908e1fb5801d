//! Where a message ends, and whether its head is well-formed: the one place that decides it, strictly (RFC 9112).
//!
//! Whatever two readers could take in two ways is refused, also where the RFC lets a recipient be lenient: what the agent
//! lets through byte for byte must mean the same to the service. Everything behind this module trusts it.

use bytes::Bytes;
use memchr::memchr;

use super::head::{AnswerHead, BodyLength, Field, Part, RawHead, RequestHead, Version};
use super::problem::{Code, Problem};

/// More fields than this are never read, whatever the configuration says.
pub const MAX_FIELDS: usize = 1024;

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Not well-formed (RFC 9112, 2 to 5).
    #[error("{0}")]
    Malformed(&'static str),
    /// Where it ends is in doubt (RFC 9112, 6).
    #[error("{0}")]
    Length(&'static str),
    /// The head has more bytes than are allowed.
    #[error("the head has too many bytes")]
    TooLong,
    /// The head has more fields than are allowed.
    #[error("the head has too many fields")]
    TooManyFields,
    /// Neither HTTP/1.1 nor HTTP/1.0 (RFC 9110, 2.5).
    #[error("the HTTP version is neither 1.1 nor 1.0")]
    Version,
}

impl FramingError {
    /// What a client is told about its request.
    pub fn of_request(self) -> Problem {
        let code = match self {
            Self::Malformed(_) => Code::MalformedRequest,
            Self::Length(_) => Code::BadFraming,
            Self::TooLong | Self::TooManyFields => Code::HeadTooLarge,
            Self::Version => Code::VersionNotSupported,
        };
        Problem::new(code, self.to_string())
    }

    /// What a client is told about the service's answer.
    pub fn of_answer(self) -> Problem {
        Problem::new(Code::BadAnswer, self.to_string())
    }
}

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

/// [`RequestHead::parse`].
pub(super) fn request(raw: Bytes, max_fields: usize) -> Result<RequestHead, FramingError> {
    let (method, target, version, count) = with_fields(max_fields, |fields| {
        let mut parsed = httparse::Request::new(fields);
        match parsed.parse(&raw) {
            Ok(httparse::Status::Complete(length)) if length == raw.len() => {}
            Ok(_) => return Err(FramingError::Malformed("the head is not whole")),
            Err(error) => return Err(malformed(error, &raw)),
        }
        let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(FramingError::Malformed("the request line is not whole"));
        };
        Ok((method.len(), target.len(), minor, parsed.headers.len()))
    })?;
    let start = empty_lines(&raw);
    let method = Part::new(start, start + method);
    let target = Part::new(method.range().end + 1, method.range().end + 1 + target);
    let version = version_of(version);
    let fields = locate(&raw, start, count)?;
    let head = RawHead { raw, fields };
    host(&head, version)?;
    let length = match length(&head, version)? {
        Announced::Nothing => BodyLength::None,
        Announced::Exact(length) => BodyLength::Exact(length),
        Announced::Chunked => BodyLength::Chunked,
        Announced::NotChunked => return Err(FramingError::Length("the last transfer coding is not chunked")),
    };
    let head = RequestHead { head, method, target, version, length };
    if head.method() == "CONNECT" && !matches!(length, BodyLength::None | BodyLength::Exact(0)) {
        return Err(FramingError::Length("a CONNECT request has no body"));
    }
    Ok(head)
}

/// [`AnswerHead::parse`].
pub(super) fn answer(raw: Bytes, max_fields: usize, method: &str) -> Result<AnswerHead, FramingError> {
    let (status, version, count) = with_fields(max_fields, |fields| {
        let mut parsed = httparse::Response::new(fields);
        match parsed.parse(&raw) {
            Ok(httparse::Status::Complete(length)) if length == raw.len() => {}
            Ok(_) => return Err(FramingError::Malformed("the head is not whole")),
            Err(error) => return Err(malformed(error, &raw)),
        }
        let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
            return Err(FramingError::Malformed("the status line is not whole"));
        };
        Ok((status, minor, parsed.headers.len()))
    })?;
    if status < 100 {
        return Err(FramingError::Malformed("the status code is below 100"));
    }
    let start = empty_lines(&raw);
    let version = version_of(version);
    let fields = locate(&raw, start, count)?;
    let head = RawHead { raw, fields };
    let announced = length(&head, version)?;
    let bodiless =
        method == "HEAD" || matches!(status, 100..=199 | 204 | 304) || (method == "CONNECT" && status / 100 == 2);
    let length = match announced {
        _ if bodiless => BodyLength::None,
        Announced::Nothing | Announced::NotChunked => BodyLength::UntilClose,
        Announced::Exact(length) => BodyLength::Exact(length),
        Announced::Chunked => BodyLength::Chunked,
    };
    Ok(AnswerHead { head, status, version, length })
}

/// Lends `parse` room for as many fields as are allowed, on the stack for a usual head.
fn with_fields<'b, T>(
    max_fields: usize,
    parse: impl Fn(&mut [httparse::Header<'b>]) -> Result<T, FramingError>,
) -> Result<T, FramingError> {
    const USUAL: usize = 64;
    let mut few = [httparse::EMPTY_HEADER; USUAL];
    let room = few.get_mut(..max_fields.min(USUAL)).unwrap_or_default();
    match parse(room) {
        Err(FramingError::TooManyFields) if max_fields > USUAL => {
            parse(&mut vec![httparse::EMPTY_HEADER; max_fields.min(MAX_FIELDS)])
        }
        result => result,
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

/// Finds the field lines of a head that was found well-formed: one line each, as folded lines are refused.
fn locate(raw: &[u8], start: usize, count: usize) -> Result<Vec<Field>, FramingError> {
    let mut fields = Vec::with_capacity(count);
    let mut lines = Lines { raw, at: start };
    lines.next();
    for line in lines.by_ref().take(count) {
        let content = raw.get(line.start..line.end - 2).unwrap_or_default();
        let Some(colon) = memchr(b':', content) else {
            return Err(FramingError::Malformed("a field's name is not a token followed by a colon"));
        };
        let value = content.get(colon + 1..).unwrap_or_default();
        let lead = value.iter().take_while(|byte| is_white(**byte)).count();
        let trail = value.iter().skip(lead).rev().take_while(|byte| is_white(**byte)).count();
        fields.push(Field {
            name: Part::new(line.start, line.start + colon),
            value: Part::new(line.start + colon + 1 + lead, line.end - 2 - trail),
            line: Part::new(line.start, line.end),
        });
    }
    if lines.next().is_none_or(|line| line.len() != 2) {
        return Err(FramingError::Malformed("a line does not end in CR LF"));
    }
    Ok(fields)
}

/// White space around a field's value (RFC 9110, 5.6.3, OWS).
fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Lines with their CR LF.
struct Lines<'a> {
    raw: &'a [u8],
    at: usize,
}

impl Iterator for Lines<'_> {
    type Item = std::ops::Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let length = memchr(b'\n', self.raw.get(self.at..)?)? + 1;
        let line = self.at..self.at + length;
        self.at = line.end;
        // `HeadEnd` let no bare LF through; this keeps the ranges right for heads that didn't come through it.
        (length >= 2 && self.raw.get(line.end - 2) == Some(&b'\r')).then_some(line)
    }
}

/// RFC 9112, 3.2: exactly one valid `Host` on 1.1, at most one on 1.0.
fn host(head: &RawHead, version: Version) -> Result<(), FramingError> {
    let mut hosts = head.named("host");
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(FramingError::Malformed("there is more than one Host")),
        (None, None) if version == Version::Http11 => Err(FramingError::Malformed("there is no Host")),
        (Some(host), None) if !head.value(host).iter().all(|byte| is_host_byte(*byte)) => {
            Err(FramingError::Malformed("the Host is not a host and port"))
        }
        _ => Ok(()),
    }
}

/// RFC 3986, 3.2.2 and 3.2.3: the bytes of `uri-host [ ":" port ]`.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

/// What a head says about its body's length.
enum Announced {
    Nothing,
    Exact(u64),
    Chunked,
    /// Transfer codings of which chunked isn't the last.
    NotChunked,
}

/// RFC 9112, 6.1 to 6.3.
fn length(head: &RawHead, version: Version) -> Result<Announced, FramingError> {
    let mut lengths = head.named("content-length");
    let mut codings = head.named("transfer-encoding").peekable();
    let (first, second) = (lengths.next(), lengths.next());
    if codings.peek().is_some() {
        if first.is_some() {
            return Err(FramingError::Length("there are both Transfer-Encoding and Content-Length"));
        }
        if version == Version::Http10 {
            return Err(FramingError::Length("there is Transfer-Encoding on HTTP/1.0"));
        }
        return transfer_codings(head, codings);
    }
    match (first, second) {
        (None, _) => Ok(Announced::Nothing),
        (Some(field), None) => content_length(head, field),
        (Some(_), Some(_)) => Err(FramingError::Length("there is more than one Content-Length")),
    }
}

/// RFC 9110, 8.6: digits and nothing else.
fn content_length(head: &RawHead, field: &Field) -> Result<Announced, FramingError> {
    no_tabs(head, field)?;
    let value = head.value(field);
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(FramingError::Length("the Content-Length is not a number"));
    }
    let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    length.map(Announced::Exact).ok_or(FramingError::Length("the Content-Length is too large"))
}

/// RFC 9112, 6.1 and 7: known codings without parameters; chunked once, and last.
fn transfer_codings<'a>(head: &RawHead, fields: impl Iterator<Item = &'a Field>) -> Result<Announced, FramingError> {
    const OTHERS: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
    let mut chunked = false;
    for field in fields {
        no_tabs(head, field)?;
        for coding in head.value(field).split(|byte| *byte == b',') {
            let coding = coding.trim_ascii();
            if chunked {
                return Err(FramingError::Length("chunked is not the last transfer coding, or there twice"));
            }
            if coding.eq_ignore_ascii_case(b"chunked") {
                chunked = true;
            } else if !OTHERS.iter().any(|other| coding.eq_ignore_ascii_case(other)) {
                return Err(FramingError::Length("there is an unknown transfer coding"));
            }
        }
    }
    Ok(if chunked { Announced::Chunked } else { Announced::NotChunked })
}

/// A tab around a length is white space to the grammar and part of the value to some servers.
fn no_tabs(head: &RawHead, field: &Field) -> Result<(), FramingError> {
    let line = head.raw.get(field.line_range()).unwrap_or_default();
    if line.contains(&b'\t') {
        return Err(FramingError::Length("there is a tab in a field that tells the length"));
    }
    Ok(())
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
