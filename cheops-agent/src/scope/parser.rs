//! Tokens into a tree, by recursive descent with a limit on its depth.

use std::time::Duration;

use super::check::{Names, check};
use super::lexer::{self, Letters, Token};
use super::{Expr, Item, MAX_BYTES, MAX_NESTING, Name, Scope, ScopeError, Span, Star, json};

/// Parses a scope (SPEC.md 3, AMENDMENTS 13). Names are not looked up; [`resolve`](super::resolve) does that.
pub fn parse(text: &str) -> Result<Scope, ScopeError> {
    check_size(text.len())?;
    let scope = match json::members(text)? {
        Some(members) => json::scope(&members)?,
        None => Parser::new(lexer::lex(text, Letters::Ascii)?, Span { start: text.len(), end: text.len() }).scope()?,
    };
    check(&scope, Names::Written)?;
    Ok(scope)
}

/// [`parse`] for bytes that may not be UTF-8.
pub fn parse_bytes(bytes: &[u8]) -> Result<Scope, ScopeError> {
    parse(utf8(bytes)?)
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, ScopeError> {
    check_size(bytes.len())?;
    std::str::from_utf8(bytes).map_err(|error| {
        let start = error.valid_up_to();
        let span = Span { start, end: start + error.error_len().unwrap_or(bytes.len() - start) };
        ScopeError::at(span, "a scope is UTF-8 text; these bytes are not")
    })
}

fn check_size(length: usize) -> Result<(), ScopeError> {
    if length <= MAX_BYTES {
        return Ok(());
    }
    let span = Span { start: MAX_BYTES, end: length };
    Err(ScopeError::at(span, format!("a scope has at most {MAX_BYTES} bytes, this one has {length}")))
}

pub(super) struct Parser {
    tokens: Vec<(Token, Span)>,
    at: usize,
    end: Span,
    depth: usize,
}

/// The operators seen so far at one level of parentheses.
#[derive(Default)]
struct Level {
    and: bool,
    percent: bool,
}

impl Parser {
    /// `end` is where something is missing when the tokens run out.
    pub(super) fn new(tokens: Vec<(Token, Span)>, end: Span) -> Self {
        Self { tokens, at: 0, end, depth: 0 }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn second(&self) -> Option<&Token> {
        self.tokens.get(self.at + 1).map(|(token, _)| token)
    }

    fn here(&self) -> Span {
        self.tokens.get(self.at).map_or(self.end, |(_, span)| *span)
    }

    fn advance(&mut self) {
        self.at += 1;
    }

    /// Takes the token if it is the next.
    fn take(&mut self, token: &Token) -> Option<Span> {
        let span = self.here();
        (self.peek() == Some(token)).then(|| {
            self.advance();
            span
        })
    }

    /// Takes `prime` or `around` if it is the next.
    pub(super) fn reserved(&mut self) -> Option<Token> {
        let token = self.peek().filter(|token| matches!(token, Token::Prime | Token::Around)).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    fn expect(&mut self, token: &Token, wanted: &str) -> Result<Span, ScopeError> {
        self.take(token).ok_or_else(|| self.missing(wanted))
    }

    fn missing(&self, wanted: &str) -> ScopeError {
        let message = match self.peek() {
            None => format!("expected {wanted}, but the scope ends here"),
            Some(token) => format!("expected {wanted}, found {}", describe(token)),
        };
        let error = ScopeError::at(self.here(), message);
        match self.peek() {
            Some(Token::Name(_)) => error.suggest("join sites with &, % or ||; separate items with a comma"),
            Some(Token::Prime | Token::Around) => error.suggest("this word is reserved and can't be a name"),
            _ => error,
        }
    }

    fn scope(mut self) -> Result<Scope, ScopeError> {
        let mut items = Vec::new();
        if self.take(&Token::Open).is_some() {
            loop {
                items.push(self.item()?);
                if self.take(&Token::Comma).is_none() {
                    self.expect(&Token::Close, "\",\" or \"}\"")?;
                    break;
                }
                if self.take(&Token::Close).is_some() {
                    break;
                }
            }
        } else {
            items.push(Item::Bare(self.expr()?));
            if self.peek() == Some(&Token::Colon) {
                return Err(ScopeError::at(self.here(), "bindings stand in braces").suggest("write {Nova: Berlin}"));
            }
        }
        self.finish()?;
        Ok(Scope { items })
    }

    /// Nothing may follow.
    pub(super) fn finish(&mut self) -> Result<(), ScopeError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.missing("the scope's end")),
        }
    }

    fn item(&mut self) -> Result<Item, ScopeError> {
        match self.peek() {
            Some(Token::Comma | Token::Close) => {
                Err(ScopeError::at(self.here(), "there is nothing here").suggest("write an item such as Nova: Berlin"))
            }
            Some(Token::Prime) => self.prime(),
            Some(Token::Around) if self.second() != Some(&Token::OpenParen) => self.around_item(),
            _ => {
                let expr = self.expr()?;
                if self.peek() != Some(&Token::Colon) {
                    return Ok(Item::Bare(expr));
                }
                let Expr::Site(service) = expr else {
                    return Err(ScopeError::at(self.here(), "only a service's name stands before \":\""));
                };
                self.advance();
                Ok(Item::Bind { service, expr: self.expr()? })
            }
        }
    }

    fn prime(&mut self) -> Result<Item, ScopeError> {
        self.advance();
        let service = self.prime_service()?;
        self.expect(&Token::Colon, "\":\" after prime")?;
        Ok(Item::Prime { service, site: self.name("a site")? })
    }

    /// After `prime`: `(service)`, if it is there.
    pub(super) fn prime_service(&mut self) -> Result<Option<Name>, ScopeError> {
        if self.take(&Token::OpenParen).is_none() {
            return Ok(None);
        }
        let service = self.name("a service")?;
        self.expect(&Token::CloseParen, "\")\"")?;
        Ok(Some(service))
    }

    /// `around: Berlin, 50ms`
    fn around_item(&mut self) -> Result<Item, ScopeError> {
        self.advance();
        self.expect(&Token::Colon, "\":\" or \"(\" after around")?;
        let (site, within) = self.around_arguments()?;
        Ok(Item::Around { site, within })
    }

    /// `site "," duration`
    pub(super) fn around_arguments(&mut self) -> Result<(Name, Duration), ScopeError> {
        let site = self.name("a site")?;
        self.expect(&Token::Comma, "\",\" and a duration such as 50ms")?;
        let span = self.here();
        match self.peek() {
            Some(Token::Number(number)) => {
                let within = duration(number, span)?;
                self.advance();
                Ok((site, within))
            }
            _ => Err(self.missing("a duration such as 50ms")),
        }
    }

    /// A name where nothing else may stand.
    pub(super) fn name(&mut self, wanted: &str) -> Result<Name, ScopeError> {
        let span = self.here();
        let Some(Token::Name(text)) = self.peek() else { return Err(self.missing(wanted)) };
        let name = Name { text: text.clone(), span };
        self.advance();
        Ok(name)
    }

    /// A whole expression, at one level of parentheses.
    pub(super) fn expr(&mut self) -> Result<Expr, ScopeError> {
        let mut level = Level::default();
        let mut parts = vec![self.cross(&mut level)?];
        while self.take(&Token::Or).is_some() {
            parts.push(self.cross(&mut level)?);
        }
        Ok(Expr::otherwise(parts))
    }

    fn cross(&mut self, level: &mut Level) -> Result<Expr, ScopeError> {
        let mut parts = vec![self.replicate(level)?];
        while self.peek() == Some(&Token::Percent) {
            level.percent = true;
            self.operator(level)?;
            parts.push(self.replicate(level)?);
        }
        Ok(Expr::cross(parts))
    }

    fn replicate(&mut self, level: &mut Level) -> Result<Expr, ScopeError> {
        let mut parts = vec![self.primary()?];
        while self.peek() == Some(&Token::And) {
            level.and = true;
            self.operator(level)?;
            parts.push(self.primary()?);
        }
        Ok(Expr::replicate(parts))
    }

    /// Takes the operator, unless `&` and `%` meet without parentheses.
    fn operator(&mut self, level: &Level) -> Result<(), ScopeError> {
        if level.and && level.percent {
            return Err(ScopeError::at(self.here(), "& and % stand in one expression without parentheses")
                .suggest("say which belongs together, as in (A & B) % C"));
        }
        self.advance();
        Ok(())
    }

    fn primary(&mut self) -> Result<Expr, ScopeError> {
        let span = self.here();
        match self.peek() {
            Some(Token::Name(_)) => Ok(Expr::Site(self.name("a site")?)),
            Some(Token::Star) => {
                self.advance();
                Ok(Expr::All(Star(span)))
            }
            Some(Token::Around) => {
                self.advance();
                self.expect(&Token::OpenParen, "\"(\" after around")?;
                let (site, within) = self.around_arguments()?;
                self.expect(&Token::CloseParen, "\")\"")?;
                Ok(Expr::Around { site, within })
            }
            Some(Token::OpenParen) => {
                if self.depth == MAX_NESTING {
                    return Err(ScopeError::at(span, format!("parentheses are nested at most {MAX_NESTING} deep")));
                }
                self.depth += 1;
                self.advance();
                let inner = self.expr()?;
                self.expect(&Token::CloseParen, "\")\" or an operator (&, %, ||)")?;
                self.depth -= 1;
                Ok(inner)
            }
            _ => Err(self.missing("a site")),
        }
    }
}

fn describe(token: &Token) -> String {
    let sign = match token {
        Token::Open => "{",
        Token::Close => "}",
        Token::OpenParen => "(",
        Token::CloseParen => ")",
        Token::Colon => ":",
        Token::Comma => ",",
        Token::And => "&",
        Token::Percent => "%",
        Token::Or => "||",
        Token::Star => "*",
        Token::Prime => "prime",
        Token::Around => "around",
        Token::Name(text) | Token::Number(text) => text,
    };
    format!("\"{sign}\"")
}

/// `number ("us" | "ms" | "s")`, above zero, to the nanosecond.
fn duration(text: &str, span: Span) -> Result<Duration, ScopeError> {
    let wrong = |message: &str| ScopeError::at(span, message).suggest("write a duration such as 50ms, 1.5s or 800us");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let scale: u128 = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "" => return Err(wrong("a duration needs its unit, without a space: us, ms or s")),
        _ => return Err(wrong("a duration's unit is us, ms or s")),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return Err(wrong("digits are missing behind the dot")),
        Some((_, fraction)) if fraction.contains('.') => return Err(wrong("a number has one dot at most")),
        Some(parts) => parts,
        None => (number, ""),
    };
    let mut nanos = whole.parse::<u64>().map_or(u128::MAX, |whole| u128::from(whole) * scale);
    let mut unit = scale;
    for digit in fraction.bytes() {
        unit /= 10;
        nanos = nanos.saturating_add(u128::from(digit.saturating_sub(b'0')) * unit);
    }
    match u64::try_from(nanos) {
        Err(_) => Err(wrong("this duration is too long")),
        Ok(0) => Err(wrong("a duration is above zero")),
        Ok(nanos) => Ok(Duration::from_nanos(nanos)),
    }
}
