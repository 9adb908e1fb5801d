//! The scope and the command out of `cheops exec`'s words. Pure.
//!
//! A shell splits an unquoted `{Nova: Berlin, Glance: Paris}` into several words; they are put together again. What
//! the shell takes for itself (`&`, `|`, `;`, parentheses) never arrives here: an unclosed brace tells that it did.

use std::collections::VecDeque;
use std::ffi::OsString;

/// What is to be run, and under which scope.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub scope: Option<String>,
    /// The scope came in several words: a shell may have put others in their place.
    pub joined: bool,
    /// Program and arguments; never empty.
    pub command: Vec<OsString>,
}

/// Why nothing is run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    #[error(
        "the scope's brace is never closed: {written}\n\
        A shell takes &, |, ;, ( and ) for itself, and what follows for another command. Quote the scope:\n  {line}"
    )]
    Unclosed { written: String, line: String },
    #[error(
        "there is more than one --scope; one command runs under one scope (a shell makes several of {{a,b}}: quote it)"
    )]
    Several,
    #[error("--scope needs a scope behind it")]
    Missing,
    #[error("a scope is UTF-8 text: {0}")]
    NotText(String),
    #[error("there is no command to run")]
    NoCommand,
}

/// `before` is the `--scope` that stands before the command: the command's own arguments are left alone then. Without
/// it, `--scope X` or `--scope=X` is taken out of the command's arguments up to a `--`.
pub fn line(before: Option<OsString>, words: Vec<OsString>) -> Result<Line, ArgumentError> {
    match before {
        Some(first) => leading(first, words.into()),
        None => inside(words),
    }
}

/// `--scope X -- COMMAND…`, of which the first word of `X` is `first` and the others may stand before the command.
fn leading(first: OsString, mut words: VecDeque<OsString>) -> Result<Line, ArgumentError> {
    let mut scope = Joined::new(first)?;
    while !scope.is_closed() {
        let Some(word) = words.pop_front() else {
            return Err(scope.unclosed(format!("cheops exec --scope {} -- …", quote(&scope.guess()))));
        };
        if word == "--" {
            let command = words.iter().map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ");
            return Err(scope.unclosed(format!("cheops exec --scope {} -- {command}", quote(&scope.guess()))));
        }
        scope.push(word)?;
    }
    if words.front().is_some_and(|word| word == "--") {
        words.pop_front();
    }
    finish(Some(scope), words.into())
}

fn inside(words: Vec<OsString>) -> Result<Line, ArgumentError> {
    let mut words = VecDeque::from(words);
    let (mut command, mut found) = (Vec::with_capacity(words.len()), None);
    // The command itself is no argument.
    command.extend(words.pop_front());
    while let Some(word) = words.pop_front() {
        if word == "--" {
            command.push(word);
            command.extend(words);
            break;
        }
        let Some(first) = scope_in(&word, &mut words)? else {
            command.push(word);
            continue;
        };
        if found.is_some() {
            return Err(ArgumentError::Several);
        }
        let mut scope = Joined::new(first)?;
        while !scope.is_closed() {
            let Some(word) = words.pop_front() else {
                let before = command.iter().map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ");
                return Err(scope.unclosed(format!("cheops exec -- {before} --scope {}", quote(&scope.guess()))));
            };
            scope.push(word)?;
        }
        found = Some(scope);
    }
    finish(found, command)
}

fn finish(scope: Option<Joined>, command: Vec<OsString>) -> Result<Line, ArgumentError> {
    let joined = scope.as_ref().is_some_and(|scope| scope.words > 1);
    let scope = scope.map(|scope| scope.text);
    if command.is_empty() { Err(ArgumentError::NoCommand) } else { Ok(Line { scope, joined, command }) }
}

/// The option, also with the dash that word processors make of its two (as on the slides).
const OPTION: [&str; 3] = ["--scope", "\u{2013}scope", "\u{2014}scope"];

/// The first word of a scope, if `word` begins one.
fn scope_in(word: &OsString, words: &mut VecDeque<OsString>) -> Result<Option<OsString>, ArgumentError> {
    let mut options = OPTION.iter();
    let Some(rest) = options.find_map(|option| word.as_encoded_bytes().strip_prefix(option.as_bytes())) else {
        return Ok(None);
    };
    match (rest.first(), word.to_str().and_then(|word| word.split_once('='))) {
        (None, _) => words.pop_front().map(Some).ok_or(ArgumentError::Missing),
        (Some(b'='), Some((_, ""))) => Err(ArgumentError::Missing),
        (Some(b'='), Some((_, first))) => Ok(Some(first.into())),
        (Some(b'='), None) => Err(ArgumentError::NotText(word.to_string_lossy().into_owned())),
        (Some(_), _) => Ok(None),
    }
}

/// A scope's words, one after the other.
struct Joined {
    text: String,
    /// Braces that are open; one that opens no scope is none of ours.
    open: usize,
    quoted: bool,
    words: usize,
}

impl Joined {
    fn new(first: OsString) -> Result<Self, ArgumentError> {
        let mut joined = Self { text: String::new(), open: 0, quoted: false, words: 0 };
        joined.append(first)?;
        if !joined.text.trim_start().starts_with('{') {
            joined.open = 0;
        }
        Ok(joined)
    }

    fn push(&mut self, word: OsString) -> Result<(), ArgumentError> {
        self.text.push(' ');
        self.append(word)
    }

    fn append(&mut self, word: OsString) -> Result<(), ArgumentError> {
        let word = word.into_string().map_err(|word| ArgumentError::NotText(word.to_string_lossy().into_owned()))?;
        for c in word.chars() {
            match c {
                '"' => self.quoted = !self.quoted,
                '{' if !self.quoted => self.open += 1,
                '}' if !self.quoted => self.open = self.open.saturating_sub(1),
                _ => {}
            }
        }
        self.text.push_str(&word);
        self.words += 1;
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.open == 0
    }

    /// The scope with a mark where the shell took something away.
    fn guess(&self) -> String {
        format!("{} …}}", self.text)
    }

    fn unclosed(&self, line: String) -> ArgumentError {
        ArgumentError::Unclosed { written: self.text.clone(), line }
    }
}

/// A word as a shell reads it back.
fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
