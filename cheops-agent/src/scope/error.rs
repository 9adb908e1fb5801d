//! What is wrong with a scope, where, and what to do about it.

use crate::http::{Code, Problem};

use super::Span;

/// The most characters of a scope that are shown around a fault.
const SHOWN: usize = 100;

/// A fault of a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScopeError {
    pub code: Code,
    /// What is wrong, in one line.
    pub message: String,
    /// Where in the scope's text; empty at the place where something is missing. None: it isn't one place.
    pub span: Option<Span>,
    /// What to write or do instead.
    pub suggestion: Option<String>,
}

impl ScopeError {
    /// A fault at `span` of the text.
    pub fn at(span: Span, message: impl Into<String>) -> Self {
        Self { code: Code::InvalidScope, message: message.into(), span: Some(span), suggestion: None }
    }

    /// A fault of the request rather than of one scope's text.
    pub fn of(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span: None, suggestion: None }
    }

    /// The same with what to do about it.
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// The same under another code.
    pub fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// For an HTTP answer: position and length in bytes of the scope's text.
    pub fn problem(&self) -> Problem {
        let mut problem = Problem::new(self.code, self.to_string());
        if let Some(suggestion) = &self.suggestion {
            problem.detail = format!("{}: {suggestion}", self.message);
            problem.hint = Some(suggestion.clone());
        }
        problem.position = self.span.map(|span| (span.start, span.end.saturating_sub(span.start)));
        problem
    }

    /// For people: the message, the text with a caret below the fault, the suggestion. No newline at its end.
    pub fn render(&self, text: &str) -> String {
        let mut out = format!("error: {}", self.message);
        if let Some(span) = self.span {
            let (line, before, width) = excerpt(text, span);
            out += &format!(" (position {})\n  | {line}\n  | {}{}", span.start, " ".repeat(before), "^".repeat(width));
        }
        if let Some(suggestion) = &self.suggestion {
            out += &format!("\nhelp: {suggestion}");
        }
        out
    }
}

/// One line that shows `span`: the line, the characters before the span, and how many to mark.
fn excerpt(text: &str, span: Span) -> (String, usize, usize) {
    let (mut characters, mut before, mut width) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        before += usize::from(at < span.start);
        width += usize::from(at >= span.start && at < span.end);
        characters.push(if c.is_control() { ' ' } else { c });
    }
    let from = if characters.len() <= SHOWN { 0 } else { before.saturating_sub(SHOWN / 2) };
    let mut line: String = characters.iter().skip(from).take(SHOWN).collect();
    before -= from;
    if from > 0 {
        line.insert(0, '…');
        before += 1;
    }
    if from + SHOWN < characters.len() {
        line.push('…');
    }
    (line, before, width.clamp(1, SHOWN.saturating_sub(before).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_the_fault() {
        let error =
            ScopeError::at(Span { start: 7, end: 13 }, "unknown site \"Berlim\"").suggest("did you mean Berlin?");
        assert_eq!(
            error.render("{Nova: Berlim & Paris}"),
            "error: unknown site \"Berlim\" (position 7)\n  | {Nova: Berlim & Paris}\n  |        ^^^^^^\nhelp: did you mean Berlin?"
        );
    }

    #[test]
    fn a_long_text_is_shown_around_the_fault() {
        let text = format!("{}!{}", "ä".repeat(500), "b".repeat(500));
        let rendered = ScopeError::at(Span { start: 1000, end: 1001 }, "x").render(&text);
        let lines: Vec<&str> = rendered.lines().collect();
        let caret = lines[2].chars().position(|c| c == '^').expect("a caret");
        assert_eq!(lines[1].chars().nth(caret), Some('!'));
        assert!(lines.iter().all(|line| line.chars().count() < 120));
    }

    #[test]
    fn a_fault_at_the_end_is_marked_behind_the_text() {
        let rendered = ScopeError::at(Span { start: 2, end: 2 }, "x").render("{A");
        assert!(rendered.ends_with("\n  |   ^"), "{rendered}");
    }
}
