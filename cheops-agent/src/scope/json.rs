//! The JSON form of a scope: an object with string values, `{"compute": "Berlin & Paris"}`.
//!
//! A member's key is what stands before the colon in the ordinary form, its value what stands behind it. The key `""`
//! is the addressed service. Duplicate members are seen (they are errors), so the text is walked here; whether it is
//! JSON at all, serde_json says.

use serde::de::IgnoredAny;

use crate::names::{RESERVED, SIGNS};

use super::lexer::{self, Letters, Token};
use super::parser::Parser;
use super::{Expr, Item, Name, Scope, ScopeError, Span};

/// A JSON string with the place of each of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    /// For each byte of `text`, and for its end: where it stands in the scope.
    places: Vec<usize>,
}

/// A member of the object. No value: it is no string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) key: Text,
    pub(super) value: Option<Text>,
    /// Where the value stands.
    pub(super) span: Span,
}

impl Text {
    /// A place in the string as a place in the scope.
    fn place(&self, at: usize) -> usize {
        self.places.get(at).or(self.places.last()).copied().unwrap_or_default()
    }

    fn span(&self, span: Span) -> Span {
        Span { start: self.place(span.start), end: self.place(span.end) }
    }

    fn whole(&self) -> Span {
        self.span(Span { start: 0, end: self.text.len() })
    }

    fn located(&self, error: ScopeError) -> ScopeError {
        ScopeError { span: error.span.map(|span| self.span(span)), ..error }
    }

    fn parser(&self) -> Result<Parser, ScopeError> {
        let mut tokens = lexer::lex(&self.text, Letters::Unicode).map_err(|error| self.located(error))?;
        for (_, span) in &mut tokens {
            *span = self.span(*span);
        }
        let end = self.place(self.text.len());
        Ok(Parser::new(tokens, Span { start: end, end }))
    }

    /// The string as a name, if no sign and no reserved word makes it more than one.
    fn name(&self) -> Option<Result<Name, ScopeError>> {
        let text = self.text.trim();
        let start = self.text.len() - self.text.trim_start().len();
        let words = || text.split(' ').any(|word| RESERVED.contains(&word));
        if text.is_empty() || text.contains(SIGNS) || words() {
            return None;
        }
        let checked = lexer::check_name(text, start).map_err(|error| self.located(error));
        let span = self.span(Span { start, end: start + text.len() });
        Some(checked.map(|()| Name { text: text.to_owned(), span }))
    }
}

/// The object's members, in their order; None when the text is no JSON object.
pub(super) fn members(text: &str) -> Result<Option<Vec<Member>>, ScopeError> {
    Ok(if is_object(text) { Walk { text, at: 0 }.members() } else { None })
}

/// Whether a text is a JSON object, and so is read as one.
pub(super) fn is_object(text: &str) -> bool {
    text.trim_ascii_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The members as a scope.
pub(super) fn scope(members: &[Member]) -> Result<Scope, ScopeError> {
    if members.is_empty() {
        return Err(ScopeError::at(Span { start: 0, end: 1 }, "the scope is empty").suggest("write {Nova: Berlin}"));
    }
    let items = members.iter().map(item).collect::<Result<_, _>>()?;
    Ok(Scope { items })
}

fn item(member: &Member) -> Result<Item, ScopeError> {
    let Some(value) = &member.value else {
        return Err(ScopeError::at(member.span, "a value of a scope in JSON is a string")
            .suggest("write it as in {\"compute\": \"Berlin & Paris\"}"));
    };
    if member.key.text.is_empty() {
        return Ok(Item::Bare(expr(value)?));
    }
    if let Some(service) = member.key.name() {
        return Ok(Item::Bind { service: service?, expr: expr(value)? });
    }
    let mut key = member.key.parser()?;
    let mut behind = value.parser()?;
    let item = match key.reserved() {
        Some(Token::Prime) => {
            let service = key.prime_service()?;
            let site = match value.name() {
                Some(site) => return finished(key, Item::Prime { service, site: site? }),
                None => behind.name("a site")?,
            };
            Item::Prime { service, site }
        }
        Some(Token::Around) => {
            let (site, within) = behind.around_arguments()?;
            Item::Around { site, within }
        }
        _ => return Err(ScopeError::at(member.key.whole(), "this key is no service's name")),
    };
    behind.finish()?;
    finished(key, item)
}

fn finished(mut key: Parser, item: Item) -> Result<Item, ScopeError> {
    key.finish().map(|()| item)
}

/// A value as an expression.
fn expr(value: &Text) -> Result<Expr, ScopeError> {
    if let Some(name) = value.name() {
        return Ok(Expr::Site(name?));
    }
    let mut parser = value.parser()?;
    let expr = parser.expr()?;
    parser.finish()?;
    Ok(expr)
}

/// A walk over text that is known to be a JSON object.
struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl Walk<'_> {
    fn members(mut self) -> Option<Vec<Member>> {
        let mut members = Vec::new();
        self.skip_to(b'{')?;
        self.at += 1;
        loop {
            self.skip_space();
            match self.byte()? {
                b'}' => return Some(members),
                b',' => self.at += 1,
                _ => {
                    let key = self.string()?;
                    self.skip_to(b':')?;
                    self.at += 1;
                    self.skip_space();
                    let start = self.at;
                    let value = if self.byte()? == b'"' { Some(self.string()?) } else { None };
                    if value.is_none() {
                        self.skip_value()?;
                    }
                    members.push(Member { key, value, span: Span { start, end: self.at } });
                }
            }
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn skip_to(&mut self, wanted: u8) -> Option<()> {
        while self.byte()? != wanted {
            self.at += 1;
        }
        Some(())
    }

    /// Over a value that is no string.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.byte()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b',' if depth == 0 => return Some(()),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
    }

    /// A string, from its opening to behind its closing quote.
    fn string(&mut self) -> Option<Text> {
        self.at += 1;
        let mut out = Text { text: String::new(), places: Vec::new() };
        loop {
            let start = self.at;
            let length = match self.byte()? {
                b'"' => {
                    out.places.push(start);
                    self.at += 1;
                    return Some(out);
                }
                b'\\' => self.escape_length()?,
                _ => self.text.get(start..)?.chars().next()?.len_utf8(),
            };
            let piece = self.text.get(start..start + length)?;
            let decoded: String = serde_json::from_str(&format!("\"{piece}\"")).ok()?;
            out.places.extend(std::iter::repeat_n(start, decoded.len()));
            out.text.push_str(&decoded);
            self.at += length;
        }
    }

    /// `\n`, `\u00e4`, or a pair of surrogates.
    fn escape_length(&self) -> Option<usize> {
        let rest = self.text.get(self.at..)?;
        if rest.as_bytes().get(1) != Some(&b'u') {
            return Some(2);
        }
        let unit = u16::from_str_radix(rest.get(2..6)?, 16).ok()?;
        Some(if (0xd800..0xdc00).contains(&unit) { 12 } else { 6 })
    }
}
