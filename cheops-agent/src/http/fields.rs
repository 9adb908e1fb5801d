//! A head's field lines: where they stand, and what they say about the message, found in one pass over them.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::{Deref, Range};

use super::error::FramingError;

/// Lists of fields that are kept for the next head, for each thread.
const SPARE: usize = 32;
/// Longer lists than this are given back to the allocator. Fields.
const KEPT: usize = 128;

/// More fields than this are never read, whatever the configuration says.
pub const MAX_FIELDS: usize = 1024;

/// A stretch of a head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    start: u32,
    end: u32,
}

impl Part {
    pub(super) fn new(start: usize, end: usize) -> Self {
        // A head is far shorter than 4 GiB: its reader limits it to `limits.head-bytes`.
        Self { start: start as u32, end: end as u32 }
    }

    /// As a range of byte positions in the head.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Where one field line stands in its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    pub(super) name: Part,
    pub(super) value: Part,
    pub(super) line: Part,
}

impl Field {
    /// The value's bytes, without the white space around it.
    pub fn value_range(&self) -> Range<usize> {
        self.value.range()
    }

    /// The whole line with its CR LF: what is cut to take the field out.
    pub fn line_range(&self) -> Range<usize> {
        self.line.range()
    }

    /// The value's bytes in the head `raw`.
    pub(super) fn value_in<'a>(&self, raw: &'a [u8]) -> &'a [u8] {
        raw.get(self.value_range()).unwrap_or_default()
    }

    /// A tab around a length or a host is white space to the grammar and part of the value to some servers, nginx for
    /// one.
    pub(super) fn no_tabs(&self, raw: &[u8]) -> Result<(), FramingError> {
        let line = raw.get(self.line_range()).unwrap_or_default();
        if line.contains(&b'\t') {
            return Err(FramingError::Length("there is a tab in a field that tells the length or the host"));
        }
        Ok(())
    }
}

thread_local! {
    static LISTS: RefCell<Vec<Vec<Field>>> = const { RefCell::new(Vec::new()) };
}

/// Where the fields of a head stand. Its memory is used again for a later head: every request has two of these.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<Field>);

impl Fields {
    fn with_room(count: usize) -> Self {
        let mut list = LISTS.with(|lists| lists.borrow_mut().pop()).unwrap_or_else(|| Vec::with_capacity(KEPT / 4));
        list.reserve(count);
        Self(list)
    }
}

impl Deref for Fields {
    type Target = [Field];

    fn deref(&self) -> &[Field] {
        &self.0
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        let mut list = std::mem::take(&mut self.0);
        if (1..=KEPT).contains(&list.capacity()) {
            list.clear();
            // A thread that ends keeps nothing.
            let _ended = LISTS.try_with(|lists| {
                let mut lists = lists.borrow_mut();
                if lists.len() < SPARE {
                    lists.push(list);
                }
            });
        }
    }
}

/// What a head's fields say about its message, apart from its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Says {
    /// The tokens of `Connection`.
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade_token: bool,
    /// There is an `Upgrade`.
    pub(super) upgrade: bool,
    /// `Expect: 100-continue`.
    pub(super) expects_continue: bool,
}

/// The fields that decide where a message ends and whom it is for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Framing {
    pub(super) host: Counted,
    pub(super) content_length: Counted,
    pub(super) transfer_encoding: Counted,
    /// One of them is spelt with an underscore, which CGI and WSGI don't tell from a hyphen, or is named by `Connection`,
    /// so that who obeys takes it away (RFC 9110, 7.6.1).
    pub(super) blurred: bool,
}

/// Fields that are for every recipient.
const TO_THE_END: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"host"];

/// How often a field is there, and where first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) times: usize,
    pub(super) first: Option<Field>,
}

impl Counted {
    fn add(&mut self, field: Field) {
        self.times += 1;
        self.first.get_or_insert(field);
    }
}

/// The field lines of a head that httparse found well-formed, with what they say.
///
/// # Errors
/// When a line doesn't end in CR LF, which httparse lets pass.
pub(super) fn locate(raw: &[u8], headers: &[httparse::Header<'_>]) -> Result<(Fields, Says, Framing), FramingError> {
    let bare = FramingError::Malformed("a line does not end in CR LF");
    let at = |slice: &[u8]| slice.as_ptr().addr().wrapping_sub(raw.as_ptr().addr());
    let end = raw.len().checked_sub(2).ok_or(bare)?;
    let first = headers.first().map_or(end, |header| at(header.name.as_bytes()));
    if !raw.ends_with(b"\r\n\r\n") || !raw.get(..first).is_some_and(|line| line.ends_with(b"\r\n")) {
        return Err(bare);
    }
    let (mut fields, mut says, mut framing) = (Fields::with_room(headers.len()), Says::default(), Framing::default());
    for (index, header) in headers.iter().enumerate() {
        let start = at(header.name.as_bytes());
        let next = headers.get(index + 1).map_or(end, |next| at(next.name.as_bytes()));
        if !raw.get(start..next).is_some_and(|line| line.ends_with(b"\r\n")) {
            return Err(bare);
        }
        let value = match header.value {
            [] => next - 2,
            value => at(value),
        };
        let field = Field {
            name: Part::new(start, start + header.name.len()),
            value: Part::new(value, value + header.value.len()),
            line: Part::new(start, next),
        };
        note(header, field, &mut says, &mut framing);
        fields.0.push(field);
    }
    Ok((fields, says, framing))
}

/// Takes down what one field says. Told apart by their length first, as most fields are none of these.
fn note(header: &httparse::Header<'_>, field: Field, says: &mut Says, framing: &mut Framing) {
    let is = |name: &str| header.name.eq_ignore_ascii_case(name);
    match header.name.len() {
        4 if is("host") => framing.host.add(field),
        14 if is("content-length") => framing.content_length.add(field),
        17 if is("transfer-encoding") => framing.transfer_encoding.add(field),
        14 if is("content_length") => framing.blurred = true,
        17 if is("transfer_encoding") => framing.blurred = true,
        10 if is("connection") => {
            for token in tokens(header.value) {
                says.close |= token.eq_ignore_ascii_case(b"close");
                says.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                says.upgrade_token |= token.eq_ignore_ascii_case(b"upgrade");
                framing.blurred |= TO_THE_END.iter().any(|name| token.eq_ignore_ascii_case(name));
            }
        }
        7 if is("upgrade") => says.upgrade = true,
        6 if is("expect") => {
            says.expects_continue |= tokens(header.value).any(|token| token.eq_ignore_ascii_case(b"100-continue"));
        }
        _ => {}
    }
}

/// The items of a comma-separated field (RFC 9110, 5.6.1).
pub(super) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Lends `parse` room for as many fields as are allowed, on the stack for a usual head.
pub(super) fn with_room<'b, T>(
    max_fields: usize,
    parse: impl Fn(&mut [MaybeUninit<httparse::Header<'b>>]) -> Result<T, FramingError>,
) -> Result<T, FramingError> {
    const USUAL: usize = 64;
    let mut few = [const { MaybeUninit::uninit() }; USUAL];
    let room = few.get_mut(..max_fields.min(USUAL)).unwrap_or_default();
    match parse(room) {
        Err(FramingError::TooManyFields) if max_fields > USUAL => {
            let mut many = Vec::new();
            many.resize_with(max_fields.min(MAX_FIELDS), MaybeUninit::uninit);
            parse(&mut many)
        }
        result => result,
    }
}
