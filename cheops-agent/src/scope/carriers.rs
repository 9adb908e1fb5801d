//! Where a request carries its scope (SPEC.md 3.1), and which bytes to cut so that all others stay as they were.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;
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
    /// The password of [`LOGIN`] in `Authorization: Basic` (RFC 7617), which clients take from a `.netrc`.
    Basic,
    /// Behind the caller's token and [`MARK`].
    Token,
}

/// The user whose password is a scope.
pub const LOGIN: &str = "cheops-scope";

/// What stands between a token and its scope.
pub const MARK: &[u8] = b"!SCOPE!";

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

/// What may carry a scope to the addressed service, besides what the configuration lets carry one to all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed<'a> {
    /// The query parameter; else it is the application's own.
    pub parameter: bool,
    /// The header whose token does.
    pub token: Option<&'a str>,
}

/// Finds the scope that a request carries by itself. The parameter counts only if the service allows it and its decoded
/// value begins with `{` (AMENDMENTS 12); else it is the application's own.
///
/// # Errors
/// Several scopes in one request, or a scope that is none.
pub fn find(head: &RequestHead, carriers: &ScopeCarriers, allowed: Allowed<'_>) -> Result<Option<Carried>, ScopeError> {
    let parameter = allowed.parameter.then_some(carriers.parameter.as_str());
    let mut places = in_header(head, &carriers.header)
        .chain(parameter.into_iter().flat_map(|name| in_query(head, name)))
        .chain(carriers.basic.then(|| in_logins(head)).into_iter().flatten())
        .chain(allowed.token.into_iter().flat_map(|name| behind_token(head, name)));
    let Some(first) = places.next() else { return Ok(None) };
    match places.next() {
        None => first.carried().map(Some),
        Some(second) => {
            let [one, other] = [&first, &second].map(|place| place.names(carriers, allowed));
            let told = match first.source == second.source {
                true => format!("several {}", one.1),
                false => format!("both a {} and a {}", one.0, other.0),
            };
            Err(ScopeError::of(Code::SeveralScopes, format!("the request has {told}")))
        }
    }
}

/// Whether a request may carry a scope at all: the quick look that every request gets.
pub fn may_carry(head: &RequestHead, carriers: &ScopeCarriers) -> bool {
    let (_, query) = head.target().split_once('?').unwrap_or_default();
    head.named(&carriers.header).next().is_some()
        || query.split('&').any(|pair| value_of(pair, &carriers.parameter).is_some())
        || (carriers.basic && in_logins(head).next().is_some())
        || carriers.tokens.iter().any(|name| behind_token(head, name).next().is_some())
}

/// Where a scope stands in a head.
struct Place<'a> {
    source: Carrier,
    /// Of a parameter decoded, of others as it stands.
    value: Cow<'a, [u8]>,
    cut: Range<usize>,
}

impl Place<'_> {
    /// What it is called: one, and several of them.
    fn names(&self, carriers: &ScopeCarriers, allowed: Allowed<'_>) -> (String, String) {
        let (header, parameter) = (&carriers.header, &carriers.parameter);
        let token = allowed.token.unwrap_or_default();
        match self.source {
            Carrier::Header => (format!("{header} header"), format!("{header} headers")),
            Carrier::Parameter => (format!("{parameter} parameter"), format!("{parameter} parameters")),
            Carrier::Basic => (format!("login {LOGIN}"), format!("logins {LOGIN}")),
            Carrier::Token => (format!("scope behind {token}"), format!("scopes behind {token}")),
        }
    }

    fn carried(self) -> Result<Carried, ScopeError> {
        let text = match self.source {
            Carrier::Basic => password(&self.value)?,
            _ => utf8(&self.value)?.to_owned(),
        };
        let scope = parse(&text)?;
        Ok(Carried { scope, source: self.source, cut: vec![self.cut], text })
    }
}

fn in_header<'a>(head: &'a RequestHead, name: &'a str) -> impl Iterator<Item = Place<'a>> {
    head.named(name).map(|field| Place {
        source: Carrier::Header,
        value: head.value(field).into(),
        cut: field.line_range(),
    })
}

/// The value of a `name=value` pair, as it stands.
fn value_of<'a>(pair: &'a str, name: &str) -> Option<&'a str> {
    pair.strip_prefix(name).and_then(|rest| rest.strip_prefix('='))
}

/// The parameters of this name that are scopes.
fn in_query<'a>(head: &'a RequestHead, name: &'a str) -> impl Iterator<Item = Place<'a>> {
    let (target, at) = (head.target(), head.target_range().start);
    let query = target.find('?').map_or(target.len(), |mark| mark + 1);
    let mut next = query;
    target.get(query..).unwrap_or_default().split('&').filter_map(move |pair| {
        let (start, end) = (next, next + pair.len());
        next = end + 1;
        let value = decode(value_of(pair, name)?);
        let cut = cut(query, start, end, target.len());
        value.starts_with(b"{").then(|| Place { source: Carrier::Parameter, value, cut: at + cut.start..at + cut.end })
    })
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

/// The credentials of [`LOGIN`]. Anybody else's are the application's.
fn in_logins(head: &RequestHead) -> impl Iterator<Item = Place<'_>> {
    head.named("authorization").filter_map(|field| {
        let value = login(head.value(field))?.into();
        Some(Place { source: Carrier::Basic, value, cut: field.line_range() })
    })
}

/// [`LOGIN`] in base64: its twelve bytes are sixteen letters, whatever follows them.
const LETTERS: &[u8] = b"Y2hlb3BzLXNjb3Bl";

/// `Authorization`'s value, if it is of [`LOGIN`]: what stands in base64. Decodes nothing.
fn login(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("Basic ".len())?;
    let letters = rest.trim_ascii_start();
    // The colon behind the name is the next letter and a part of the one after it.
    let is_login = scheme.eq_ignore_ascii_case(b"Basic ")
        && letters.strip_prefix(LETTERS).is_some_and(|rest| matches!(rest, [b'O', b'g'..=b'v', ..]));
    is_login.then_some(letters)
}

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The password in credentials of [`LOGIN`]. Python's requests writes Latin-1 where others write UTF-8 (RFC 7617, 2.1).
fn password(letters: &[u8]) -> Result<String, ScopeError> {
    let decoded = BASE64.decode(letters).map_err(|_| {
        let message = format!("the credentials of the login {LOGIN} are not base64");
        ScopeError::of(Code::InvalidScope, message).suggest(format!("write base64 of {LOGIN}:<scope>"))
    })?;
    let password = decoded.get(LOGIN.len() + 1..).unwrap_or_default();
    Ok(match utf8(password) {
        Err(_) if std::str::from_utf8(password).is_err() => password.iter().copied().map(char::from).collect(),
        text => text?.to_owned(),
    })
}

/// What stands behind [`MARK`] in fields of this name; the token before it stays.
fn behind_token<'a>(head: &'a RequestHead, name: &'a str) -> impl Iterator<Item = Place<'a>> {
    head.named(name).filter_map(|field| {
        let (value, range) = (head.value(field), field.value_range());
        let at = memmem::find(value, MARK)?;
        let scope = value.get(at + MARK.len()..)?.into();
        Some(Place { source: Carrier::Token, value: scope, cut: range.start + at..range.end })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_is_known_by_its_first_letters() {
        for password in ["", "{A: B}", "\0", "~", "\u{ff}"] {
            let whole = BASE64.encode(format!("{LOGIN}:{password}"));
            assert_eq!(login(format!("Basic {whole}").as_bytes()), Some(whole.as_bytes()), "{password}");
            assert_eq!(self::password(whole.as_bytes()).as_deref(), Ok(password));
        }
        for other in ["cheops-scope", "cheops-scopes:{A: B}", "cheops-scope;:x", "Cheops-scope:x", "x", ""] {
            assert_eq!(login(format!("Basic {}", BASE64.encode(other)).as_bytes()), None, "{other}");
        }
        for other in ["Basic", "Bearer Y2hlb3BzLXNjb3BlOg", "BasicY2hlb3BzLXNjb3BlOg", ""] {
            assert_eq!(login(other.as_bytes()), None, "{other}");
        }
    }
}
