//! Takes a JSON document apart while it arrives: the elements of its list, and what stands around the list (RFC 8259).
//!
//! The bytes of an element go out as they came in: no number, no order of members, no white space within it changes.
//! Everything is checked on the way, so that what is put together again is well-formed whatever a service sends.

mod grammar;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use grammar::{Lex, Step};

/// Containers within containers; also serde_json's limit.
const MAX_DEPTH: usize = 128;

/// What may be large in a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Bytes of one element.
    pub(super) element: usize,
    /// Bytes of everything outside the list.
    pub(super) outside: usize,
}

/// A part of the document, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A member of one of the objects around the list.
    Member(Member),
    Element(Bytes),
}

/// A member that isn't the list and doesn't hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Of the objects around the list: 0 is the document itself.
    pub(super) level: usize,
    /// Decoded.
    pub(super) key: String,
    /// As it came.
    pub(super) value: Bytes,
    /// Whether it stands before the list.
    pub(super) before: bool,
}

/// Why a document can't be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SplitError {
    #[error("it is not JSON")]
    Syntax,
    #[error("its JSON ends too early")]
    Half,
    #[error("it is nested deeper than {MAX_DEPTH} levels")]
    Depth,
    #[error("an element is larger than 1 MiB")]
    Element,
    #[error("too much stands around the list")]
    Outside,
    #[error("the list is not where the profile says")]
    NoList,
    #[error("it holds several arrays, and the profile doesn't say which of them is the list")]
    Several,
}

/// Reads a document piece by piece.
#[derive(Debug)]
pub(super) struct Splitter {
    /// The members that lead to the list; None: the only array among the document's members, or the document itself.
    path: Option<Vec<String>>,
    /// Whether the path was not given.
    finds: bool,
    sizes: Sizes,
    lex: Lex,
    /// The open containers: whether each is an object.
    open: Vec<bool>,
    /// How many of them lead to the list.
    on: usize,
    list: List,
    key: Vec<u8>,
    /// The value that is being kept.
    keeps: Option<Keeps>,
    kept: Vec<u8>,
    outside: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    ToCome,
    Open,
    Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Key,
    Member,
    Element,
}

#[derive(Clone, Copy, Debug)]
struct Keeps {
    what: What,
    /// How many containers were open when it began.
    depth: usize,
}

impl Splitter {
    pub(super) fn new(path: Option<Vec<String>>, sizes: Sizes) -> Self {
        Self {
            finds: path.is_none(),
            path,
            sizes,
            lex: Lex::Value,
            open: Vec::new(),
            on: 0,
            list: List::ToCome,
            key: Vec::new(),
            keeps: None,
            kept: Vec::new(),
            outside: 0,
        }
    }

    /// The members that lead to the list, once they are known.
    pub(super) fn path(&self) -> &[String] {
        self.path.as_deref().unwrap_or_default()
    }

    /// Reads on; the parts that are whole now go to `out`.
    ///
    /// # Errors
    /// At the first byte that can't be right. Nothing may be pushed after an error.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Part>) -> Result<(), SplitError> {
        // Where in `bytes` the value that is being kept goes on.
        let mut from = 0;
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            let (next, step) = grammar::step(self.lex, *byte).ok_or(SplitError::Syntax)?;
            self.lex = next;
            match step {
                Step::On => {
                    at += 1;
                    if next == Lex::Text {
                        at += grammar::plain(bytes.get(at..).unwrap_or_default());
                    }
                }
                // A number ends with the byte behind it, which is looked at again.
                Step::NumberEnds => {
                    self.value_ends(bytes.get(from..at), out)?;
                    from = at;
                }
                Step::Begins | Step::KeyBegins => {
                    if self.keeps.is_none() {
                        from = at;
                        if step == Step::Begins { self.value_begins(*byte)? } else { self.key_begins() }
                    }
                    at += 1;
                }
                Step::Ends => {
                    at += 1;
                    self.value_ends(bytes.get(from..at), out)?;
                    from = at;
                }
                Step::KeyEnds => {
                    at += 1;
                    self.key_ends(bytes.get(from..at))?;
                    from = at;
                }
                Step::Opens { object } => {
                    from = self.opens(object, from, at)?;
                    at += 1;
                }
                Step::Closes { object } => {
                    at += 1;
                    self.closes(object, bytes.get(from..at), out)?;
                    if self.keeps.is_none() {
                        from = at;
                    }
                }
                Step::Comma => {
                    self.lex = if *self.open.last().ok_or(SplitError::Syntax)? { Lex::Key } else { Lex::Value };
                    at += 1;
                }
            }
        }
        self.keep(bytes.get(from..))
    }

    /// The document has ended.
    ///
    /// # Errors
    /// When it was not whole, or held no list.
    pub(super) fn finish(&self) -> Result<(), SplitError> {
        match (self.lex, self.open.is_empty(), self.list) {
            (Lex::After, true, List::Seen) => Ok(()),
            (Lex::After, true, _) => Err(SplitError::NoList),
            _ => Err(SplitError::Half),
        }
    }

    /// Whether what comes now stands directly in an object that leads to the list.
    fn around(&self) -> bool {
        self.open.len() == self.on && self.list != List::Open
    }

    fn key_begins(&mut self) {
        if self.around() {
            self.keeps = Some(Keeps { what: What::Key, depth: self.open.len() });
        }
    }

    fn key_ends(&mut self, rest: Option<&[u8]>) -> Result<(), SplitError> {
        self.keep(rest)?;
        if self.keeps.is_some_and(|keeps| keeps.what == What::Key) {
            self.keeps = None;
            self.key = std::mem::take(&mut self.kept);
        }
        Ok(())
    }

    /// A string, number or literal begins, and nothing is being kept.
    fn value_begins(&mut self, first: u8) -> Result<(), SplitError> {
        if self.open.is_empty() {
            return Err(SplitError::NoList);
        }
        if !self.around() || !self.leads_on()? {
            self.begins_kept();
        } else if first == b'n' {
            // An empty list is null to some services.
            self.list = List::Seen;
        } else {
            return Err(SplitError::NoList);
        }
        Ok(())
    }

    /// Whether the value behind the present key is the list or holds it.
    fn leads_on(&self) -> Result<bool, SplitError> {
        let Some(path) = &self.path else { return Ok(false) };
        let Some(wanted) = self.on.checked_sub(1).and_then(|at| path.get(at)) else { return Ok(false) };
        let same = decoded(&self.key)? == *wanted;
        if same && self.list == List::Seen { Err(SplitError::Several) } else { Ok(same) }
    }

    fn begins_kept(&mut self) {
        let depth = self.open.len();
        if self.list == List::Open && depth == self.on {
            self.keeps = Some(Keeps { what: What::Element, depth });
        } else if self.around() && self.on > 0 {
            self.keeps = Some(Keeps { what: What::Member, depth });
        }
    }

    /// A container begins; where what is kept goes on from.
    fn opens(&mut self, object: bool, from: usize, at: usize) -> Result<usize, SplitError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(SplitError::Depth);
        }
        let mut from = from;
        if self.keeps.is_none() {
            from = at;
            if self.around() && self.leads(object)? {
                self.on += 1;
            } else {
                self.begins_kept();
            }
        }
        self.open.push(object);
        self.lex = if object { Lex::KeyOrEnd } else { Lex::ValueOrEnd };
        Ok(from)
    }

    /// Whether a container that begins around the list is the list or holds it.
    fn leads(&mut self, object: bool) -> Result<bool, SplitError> {
        if self.open.is_empty() {
            return match (&self.path, object) {
                (Some(path), true) if path.is_empty() => Err(SplitError::NoList),
                (Some(path), false) if !path.is_empty() => Err(SplitError::NoList),
                (_, true) => Ok(true),
                (_, false) => {
                    self.list = List::Open;
                    Ok(true)
                }
            };
        }
        if self.finds && !object {
            if self.list == List::Seen {
                return Err(SplitError::Several);
            }
            self.path = Some(vec![decoded(&self.key)?]);
            self.list = List::Open;
            return Ok(true);
        }
        if !self.leads_on()? {
            return Ok(false);
        }
        let last = self.on == self.path().len();
        match (last, object) {
            (true, false) => {
                self.list = List::Open;
                Ok(true)
            }
            (false, true) => Ok(true),
            _ => Err(SplitError::NoList),
        }
    }

    fn closes(&mut self, object: bool, rest: Option<&[u8]>, out: &mut Vec<Part>) -> Result<(), SplitError> {
        if self.open.pop() != Some(object) {
            return Err(SplitError::Syntax);
        }
        self.lex = Lex::After;
        if self.keeps.is_some() {
            if self.keeps.is_some_and(|keeps| keeps.depth == self.open.len()) {
                return self.value_ends(rest, out);
            }
            return Ok(());
        }
        if self.open.len() < self.on {
            self.on -= 1;
            if self.list == List::Open {
                self.list = List::Seen;
            }
        }
        Ok(())
    }

    /// A value ends; it is the one that is kept, or it isn't kept.
    fn value_ends(&mut self, rest: Option<&[u8]>, out: &mut Vec<Part>) -> Result<(), SplitError> {
        self.keep(rest)?;
        let Some(keeps) = self.keeps.filter(|keeps| keeps.depth == self.open.len()) else { return Ok(()) };
        self.keeps = None;
        let value = Bytes::from(std::mem::take(&mut self.kept));
        std::str::from_utf8(&value).map_err(|_| SplitError::Syntax)?;
        match keeps.what {
            What::Element => out.push(Part::Element(value)),
            What::Key => {}
            What::Member => {
                let key = decoded(&self.key)?;
                let level = self.on.saturating_sub(1);
                out.push(Part::Member(Member { level, key, value, before: self.list == List::ToCome }));
            }
        }
        Ok(())
    }

    fn keep(&mut self, bytes: Option<&[u8]>) -> Result<(), SplitError> {
        let (Some(keeps), Some(bytes)) = (self.keeps, bytes) else { return Ok(()) };
        if keeps.what == What::Element {
            if self.kept.len() + bytes.len() > self.sizes.element {
                return Err(SplitError::Element);
            }
        } else {
            self.outside += bytes.len();
            if self.outside > self.sizes.outside {
                return Err(SplitError::Outside);
            }
        }
        self.kept.extend_from_slice(bytes);
        Ok(())
    }
}

fn decoded(key: &[u8]) -> Result<String, SplitError> {
    serde_json::from_slice(key).map_err(|_| SplitError::Syntax)
}
