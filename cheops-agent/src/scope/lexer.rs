//! Text into tokens. A name is words joined by single spaces; a reserved word is never part of one.

use crate::names::{self, NameFault, shown};

use super::{ScopeError, Span};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Open,
    Close,
    OpenParen,
    CloseParen,
    Colon,
    Comma,
    And,
    Percent,
    Or,
    Star,
    Prime,
    Around,
    /// A site's or service's name.
    Name(String),
    /// What begins with a digit: part of a duration.
    Number(String),
}

/// Which letters an unquoted name may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    Ascii,
    /// Inside a JSON string, which is quoted already.
    Unicode,
}

/// All tokens of `text` with their places. Linear.
pub(super) fn lex(text: &str, letters: Letters) -> Result<Vec<(Token, Span)>, ScopeError> {
    let mut lexer = Lexer { text, at: 0, letters, tokens: Vec::new() };
    while let Some(c) = lexer.peek() {
        lexer.token(c)?;
    }
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    letters: Letters,
    tokens: Vec<(Token, Span)>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn push(&mut self, token: Token, length: usize) {
        let start = self.at;
        self.at += length;
        self.tokens.push((token, Span { start, end: self.at }));
    }

    fn token(&mut self, c: char) -> Result<(), ScopeError> {
        match c {
            ' ' | '\t' | '\r' | '\n' => self.at += 1,
            '{' => self.push(Token::Open, 1),
            '}' => self.push(Token::Close, 1),
            '(' => self.push(Token::OpenParen, 1),
            ')' => self.push(Token::CloseParen, 1),
            ':' => self.push(Token::Colon, 1),
            ',' => self.push(Token::Comma, 1),
            '&' => self.push(Token::And, 1),
            '%' => self.push(Token::Percent, 1),
            '*' => self.push(Token::Star, 1),
            '|' => self.push(Token::Or, if self.rest().starts_with("||") { 2 } else { 1 }),
            '"' => self.quoted()?,
            c if c.is_ascii_digit() => self.number(),
            c if self.is_letter(c) => self.words(),
            c => return Err(self.stray(c)),
        }
        Ok(())
    }

    fn is_letter(&self, c: char) -> bool {
        c.is_ascii_alphabetic() || (self.letters == Letters::Unicode && c.is_alphabetic())
    }

    /// The bytes of the word that begins `at`: letters, digits, `-`, `_`, `.`.
    fn word_length(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let end = rest.find(|c: char| !(self.is_letter(c) || c.is_ascii_digit() || matches!(c, '-' | '_' | '.')));
        end.unwrap_or(rest.len())
    }

    /// A reserved word, or a name: words joined by single spaces, up to a reserved one.
    fn words(&mut self) {
        let start = self.at;
        let mut end = start + self.word_length(start);
        let word = self.text.get(start..end).unwrap_or_default();
        if let Some(token) = reserved(word) {
            return self.push(token, word.len());
        }
        while self.text.get(end..).is_some_and(|rest| rest.starts_with(' ')) {
            let length = self.word_length(end + 1);
            let word = self.text.get(end + 1..end + 1 + length).unwrap_or_default();
            if word.is_empty() || reserved(word).is_some() {
                break;
            }
            end += 1 + length;
        }
        let name = self.text.get(start..end).unwrap_or_default().to_owned();
        self.push(Token::Name(name), end - start);
    }

    fn number(&mut self) {
        let length = self.word_length(self.at);
        let number = self.rest().get(..length).unwrap_or_default().to_owned();
        self.push(Token::Number(number), length);
    }

    fn quoted(&mut self) -> Result<(), ScopeError> {
        let inside = self.rest().get(1..).unwrap_or_default();
        let Some(length) = inside.find('"') else {
            let span = Span { start: self.at, end: self.text.len() };
            return Err(ScopeError::at(span, "this quote is never closed").suggest("close it with \""));
        };
        let name = inside.get(..length).unwrap_or_default().to_owned();
        check_name(&name, self.at + 1)?;
        self.push(Token::Name(name), length + 2);
        Ok(())
    }

    fn stray(&self, c: char) -> ScopeError {
        let span = Span { start: self.at, end: self.at + c.len_utf8() };
        let error = ScopeError::at(span, format!("a scope has no sign {}", shown(c)));
        match c {
            ';' => error.suggest("write || between the sites to go on to the next"),
            '\'' => error.suggest("quote names with \""),
            '[' | ']' => error.suggest("group with ( and )"),
            '+' | '^' | '=' | '/' | '<' | '>' | '!' => {
                error.suggest("join sites with &, % or ||; bind a service with :")
            }
            '-' | '_' | '.' => error.suggest("a name begins with a letter; put others in quotes"),
            c if c.is_alphabetic() => error.suggest("put names with letters beyond a-z in quotes"),
            _ => error,
        }
    }
}

fn reserved(word: &str) -> Option<Token> {
    match word {
        "otherwise" => Some(Token::Or),
        "prime" => Some(Token::Prime),
        "around" => Some(Token::Around),
        _ => None,
    }
}

/// What a quoted name may be; `start` is where its first byte stands.
pub(super) fn check_name(name: &str, start: usize) -> Result<(), ScopeError> {
    names::check(name).map_err(|fault| {
        let span = match fault {
            NameFault::Sign(at, c) => Span { start: start + at, end: start + at + c.len_utf8() },
            _ => Span { start, end: start + name.len() },
        };
        ScopeError::at(span, fault.to_string())
    })
}

/// Whether a name can stand without quotes.
pub(super) fn is_plain(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.split(' ').all(is_word)
}
