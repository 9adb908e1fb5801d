//! Follows a message's body through the raw bytes to its end (RFC 9112, 6 and 7.1), without touching one of them.
//!
//! [`Body::scan`] says how many of the bytes that have arrived belong to the body; these go on as they are, chunk sizes,
//! extensions and trailers with them. What is not well-formed is refused at its first wrong byte.

use memchr::memchr;

use super::error::FramingError;
use super::framing::MAX_LENGTH;
use super::head::BodyLength;

/// How much of a chunked body may be something else than data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// Bytes of one chunk's extensions. Nobody uses them but attackers (RFC 9112, 7.1.1 asks for a limit).
    pub extension: u32,
    /// Bytes of all trailer fields (RFC 9112, 7.1.2).
    pub trailers: u32,
}

impl Default for Around {
    fn default() -> Self {
        Self { extension: 4096, trailers: 16 * 1024 }
    }
}

/// Digits of a chunk's size: a u64.
const MAX_DIGITS: u8 = 16;

/// Where in a body its reader stands.
#[derive(Clone, Debug)]
pub struct Body(State, Around);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    /// So many bytes are still to come.
    Exact(u64),
    UntilClose,
    Chunked(Chunk),
}

/// The chunked coding's grammar, RFC 9112, 7.1. White space before `;` or the line's end is refused, although some
/// servers pad sizes with it: readers disagree about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size { value: u64, digits: u8 },
    Extension { part: Extension, value: u64, bytes: u32 },
    SizeLf { value: u64 },
    Data(u64),
    DataCr,
    DataLf,
    Trailer { part: Trailer, bytes: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// After `;`
    Start,
    Name,
    /// White space after the name: only `=` may follow.
    Equals,
    /// After `=`
    ValueStart,
    Value,
    Quoted,
    Escaped,
    AfterQuoted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trailer {
    LineStart,
    /// Matches the name so far against the fields that are forbidden here: a bit for each that still fits.
    Name {
        length: u8,
        fits: u8,
    },
    Value,
    ValueLf,
    EndLf,
}

/// Fields that would change where the message ends or whom it is for (RFC 9110, 6.5.1).
const FORBIDDEN: [&[u8]; 3] = [b"transfer-encoding", b"content-length", b"host"];

impl Body {
    /// With the usual limits.
    pub fn new(length: BodyLength) -> Self {
        Self::within(length, Around::default())
    }

    pub fn within(length: BodyLength, around: Around) -> Self {
        let state = match length {
            BodyLength::None | BodyLength::Exact(0) => State::Done,
            BodyLength::Exact(length) => State::Exact(length),
            BodyLength::Chunked => State::Chunked(Chunk::Size { value: 0, digits: 0 }),
            BodyLength::UntilClose => State::UntilClose,
        };
        Self(state, around)
    }

    /// Whether every byte of it was seen.
    pub fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// Whether the sender's close ends it well.
    pub fn ends_with_close(&self) -> bool {
        matches!(self.0, State::UntilClose | State::Done)
    }

    /// How many of the bytes that follow are nothing but data, whatever they are.
    pub fn data(&self) -> u64 {
        match self.0 {
            State::Done => 0,
            State::UntilClose => u64::MAX,
            State::Exact(left) | State::Chunked(Chunk::Data(left)) => left,
            State::Chunked(_) => 0,
        }
    }

    /// As [`scan`](Self::scan) for `bytes` bytes of [`data`](Self::data) that nobody looks at; no more than these.
    pub fn skip(&mut self, bytes: u64) {
        self.0 = match self.0 {
            State::Exact(left) if left <= bytes => State::Done,
            State::Exact(left) => State::Exact(left - bytes),
            State::Chunked(Chunk::Data(left)) if left <= bytes => State::Chunked(Chunk::DataCr),
            State::Chunked(Chunk::Data(left)) => State::Chunked(Chunk::Data(left - bytes)),
            state => state,
        };
    }

    /// How many of `bytes`, which follow those scanned before, belong to the body.
    ///
    /// # Errors
    /// When the chunked coding is not well-formed.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<usize, FramingError> {
        self.read(bytes, &mut |_| {})
    }

    /// [`scan`](Self::scan), which also gives the content that is in the body, without its chunks' framing.
    ///
    /// # Errors
    /// When the chunked coding is not well-formed.
    pub fn read(&mut self, bytes: &[u8], content: &mut impl FnMut(&[u8])) -> Result<usize, FramingError> {
        let here = match self.0 {
            State::Done => return Ok(0),
            State::Chunked(chunk) => return self.scan_chunks(chunk, bytes, content),
            State::UntilClose => bytes.len(),
            State::Exact(left) => {
                let here = left.min(bytes.len() as u64);
                self.0 = if here == left { State::Done } else { State::Exact(left - here) };
                // No more than `bytes.len()`.
                here as usize
            }
        };
        content(bytes.get(..here).unwrap_or_default());
        Ok(here)
    }

    fn scan_chunks(
        &mut self,
        mut chunk: Chunk,
        bytes: &[u8],
        content: &mut impl FnMut(&[u8]),
    ) -> Result<usize, FramingError> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if let Chunk::Data(left) = chunk {
                let here = left.min((bytes.len() - at) as u64);
                content(bytes.get(at..at + here as usize).unwrap_or_default());
                at += here as usize;
                chunk = if here == left { Chunk::DataCr } else { Chunk::Data(left - here) };
                continue;
            }
            at += 1;
            match step(chunk, *byte, self.1)? {
                Some(next) => chunk = next,
                None => {
                    self.0 = State::Done;
                    return Ok(at);
                }
            }
        }
        self.0 = State::Chunked(chunk);
        Ok(at)
    }
}

/// One byte further, outside data; `None` at the body's end.
fn step(chunk: Chunk, byte: u8, around: Around) -> Result<Option<Chunk>, FramingError> {
    let next = match (chunk, byte) {
        (Chunk::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
            if digits >= MAX_DIGITS || value > MAX_LENGTH >> 4 =>
        {
            return Err(FramingError::Length("a chunk's size is too large"));
        }
        (Chunk::Size { value, digits }, byte) => match ((byte as char).to_digit(16), byte) {
            (Some(digit), _) => Chunk::Size { value: value << 4 | u64::from(digit), digits: digits + 1 },
            (None, b';') if digits > 0 => extension(Extension::Start, value, 0),
            (None, b'\r') if digits > 0 => Chunk::SizeLf { value },
            _ => return Err(FramingError::Length("a chunk's size is not hexadecimal")),
        },
        (Chunk::Extension { bytes, .. }, byte) if bytes >= around.extension && byte != b'\r' => {
            return Err(FramingError::Extensions);
        }
        (Chunk::Extension { part, value, bytes }, byte) => return step_extension(part, value, bytes, byte).map(Some),
        (Chunk::SizeLf { value: 0 }, b'\n') => Chunk::Trailer { part: Trailer::LineStart, bytes: 0 },
        (Chunk::SizeLf { value }, b'\n') => Chunk::Data(value),
        (Chunk::DataCr, b'\r') => Chunk::DataLf,
        (Chunk::DataLf, b'\n') => Chunk::Size { value: 0, digits: 0 },
        (Chunk::Trailer { part, bytes }, byte) if bytes >= around.trailers && !ends_trailers(part, byte) => {
            return Err(FramingError::Trailers);
        }
        (Chunk::Trailer { part, bytes }, byte) => return step_trailer(part, bytes, byte),
        (Chunk::SizeLf { .. } | Chunk::DataLf, _) => return Err(FramingError::Length("a chunk has a CR without LF")),
        (Chunk::DataCr | Chunk::Data(_), _) => return Err(FramingError::Length("a chunk is longer than its size")),
    };
    Ok(Some(next))
}

fn extension(part: Extension, value: u64, bytes: u32) -> Chunk {
    Chunk::Extension { part, value, bytes }
}

fn step_extension(part: Extension, value: u64, bytes: u32, byte: u8) -> Result<Chunk, FramingError> {
    use Extension::{AfterQuoted, Equals, Escaped, Name, Quoted, Start, Value, ValueStart};
    let next = match (part, byte) {
        (Name | Value | AfterQuoted, b'\r') => return Ok(Chunk::SizeLf { value }),
        (Name | Value | AfterQuoted, b';') => Start,
        (Start, b' ' | b'\t') => Start,
        (Start | Name, byte) if is_token(byte) => Name,
        (Name | Equals, b' ' | b'\t') => Equals,
        (Name | Equals, b'=') => ValueStart,
        (ValueStart, b' ' | b'\t') => ValueStart,
        (ValueStart, b'"') => Quoted,
        (ValueStart | Value, byte) if is_token(byte) => Value,
        (Quoted, b'"') => AfterQuoted,
        (Quoted, b'\\') => Escaped,
        (Quoted | Escaped, b'\t' | b' '..=b'~' | 0x80..) => Quoted,
        _ => return Err(FramingError::Length("a chunk's extension is not well-formed")),
    };
    Ok(extension(next, value, bytes + 1))
}

/// The empty line isn't a field.
fn ends_trailers(part: Trailer, byte: u8) -> bool {
    part == Trailer::EndLf || (part == Trailer::LineStart && byte == b'\r')
}

fn step_trailer(part: Trailer, bytes: u32, byte: u8) -> Result<Option<Chunk>, FramingError> {
    let next = match (part, byte) {
        (Trailer::LineStart, b'\r') => Trailer::EndLf,
        (Trailer::EndLf, b'\n') => return Ok(None),
        (Trailer::LineStart, byte) if is_token(byte) => name_step(0, u8::MAX, byte),
        (Trailer::Name { length, fits }, byte) if is_token(byte) => name_step(length, fits, byte),
        (Trailer::Name { length, fits }, b':') => {
            let whole = |(at, name): (usize, &&[u8])| fits & (1 << at) != 0 && name.len() == usize::from(length);
            if FORBIDDEN.iter().enumerate().any(whole) {
                return Err(FramingError::Length("a trailer would change the message's framing"));
            }
            Trailer::Value
        }
        (Trailer::Value, b'\r') => Trailer::ValueLf,
        (Trailer::Value, b'\t' | b' '..=b'~' | 0x80..) => Trailer::Value,
        (Trailer::ValueLf, b'\n') => Trailer::LineStart,
        _ => return Err(FramingError::Malformed("a trailer is not a well-formed field")),
    };
    Ok(Some(Chunk::Trailer { part: next, bytes: bytes + 1 }))
}

/// One byte of a trailer's name: which of the forbidden names it may still become.
fn name_step(length: u8, fits: u8, byte: u8) -> Trailer {
    let mut still = 0;
    for (at, name) in FORBIDDEN.iter().enumerate() {
        let fits_here = name
            .get(usize::from(length))
            .is_some_and(|expected| byte.eq_ignore_ascii_case(expected) || (byte, *expected) == (b'_', b'-'));
        if fits & (1 << at) != 0 && fits_here {
            still |= 1 << at;
        }
    }
    Trailer::Name { length: length.saturating_add(1), fits: still }
}

/// RFC 9110, 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || memchr(byte, b"!#$%&'*+-.^_`|~").is_some()
}

#[cfg(test)]
mod tests;
