//! Where a request carries its scope (SPEC.md 3.1), and which bytes to cut so that all others stay as they were.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode;

use crate::config::ScopeCarriers;
use crate::http::Code;
use crate::http::head::RequestHead;

use super::parser::utf8;
use super::{Scope, ScopeError, parse};

/// Where a scope was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Header,
    Parameter,
}

/// A request's own scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    pub scope: Scope,
    pub source: Carrier,
    /// Byte ranges of the head to leave out, in order and apart.
    pub cut: Vec<Range<usize>>,
    /// The scope as it was written, decoded. Faults are located in it.
    pub text: String,
}

/// Finds the scope that a request carries by itself. The parameter counts only if the service allows it and its decoded
/// value begins with `{` (AMENDMENTS 12); else it is the application's own.
///
/// # Errors
/// Several scopes in one request, or a scope that is none.
pub fn find(
    head: &RequestHead,
    carriers: &ScopeCarriers,
    parameter_allowed: bool,
) -> Result<Option<Carried>, ScopeError> {
    let mut header = None;
    for field in head.named(&carriers.header) {
        if header.replace(field).is_some() {
            return Err(several(format!("the request has several {} headers", carriers.header)));
        }
    }
    let parameter = if parameter_allowed { in_query(head.target(), &carriers.parameter)? } else { None };
    match (header, parameter) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(several(format!(
            "the request has both a {} header and a {} parameter",
            carriers.header, carriers.parameter
        ))),
        (Some(field), None) => carried(head.value(field), Carrier::Header, field.line_range()).map(Some),
        (None, Some((value, range))) => {
            let start = head.target_range().start;
            carried(&value, Carrier::Parameter, start + range.start..start + range.end).map(Some)
        }
    }
}

/// Whether a request may carry a scope at all: the quick look that every request gets.
pub fn may_carry(head: &RequestHead, carriers: &ScopeCarriers) -> bool {
    let (_, query) = head.target().split_once('?').unwrap_or_default();
    head.named(&carriers.header).next().is_some()
        || query.split('&').any(|pair| value_of(pair, &carriers.parameter).is_some())
}

/// The value of a `name=value` pair, as it stands.
fn value_of<'a>(pair: &'a str, name: &str) -> Option<&'a str> {
    pair.strip_prefix(name).and_then(|rest| rest.strip_prefix('='))
}

fn several(message: String) -> ScopeError {
    ScopeError::of(Code::SeveralScopes, message)
}

fn carried(value: &[u8], source: Carrier, cut: Range<usize>) -> Result<Carried, ScopeError> {
    let text = utf8(value)?.to_owned();
    let scope = parse(&text)?;
    Ok(Carried { scope, source, cut: vec![cut], text })
}

/// A parameter that is a scope: its decoded value, and the range of the target that goes with it.
type Parameter<'a> = (Cow<'a, [u8]>, Range<usize>);

/// The one parameter of this name that is a scope.
fn in_query<'a>(target: &'a str, name: &str) -> Result<Option<Parameter<'a>>, ScopeError> {
    let Some(query) = target.find('?').map(|mark| mark + 1) else { return Ok(None) };
    let mut found = None;
    let mut start = query;
    for pair in target.get(query..).unwrap_or_default().split('&') {
        let end = start + pair.len();
        let value = value_of(pair, name).map(decode);
        if let Some(value) = value.filter(|value| value.starts_with(b"{")) {
            let cut = cut(query, start, end, target.len());
            if found.replace((value, cut)).is_some() {
                return Err(several(format!("the request has several {name} parameters")));
            }
        }
        start = end + 1;
    }
    Ok(found)
}

/// The pair with the sign that joins it: the `?` of a query that holds nothing else, the `&` behind the first pair, the
/// `&` before any other.
fn cut(query: usize, start: usize, end: usize, length: usize) -> Range<usize> {
    match (start == query, end == length) {
        (true, true) => start - 1..end,
        (true, false) => start..end + 1,
        (false, _) => start - 1..end,
    }
}

/// Percent-decoding as forms have it: `+` is a space.
fn decode(value: &str) -> Cow<'_, [u8]> {
    if value.contains('+') {
        Cow::Owned(percent_decode(value.replace('+', " ").as_bytes()).collect())
    } else {
        percent_decode(value.as_bytes()).into()
    }
}
