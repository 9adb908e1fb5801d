//! What is wrong with a configuration file, and where: `file:line:column`, the line, and a caret.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::names::nearest;

/// A file's name and text, kept so that errors can show its lines.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

/// A stretch of a file, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub source: Arc<Source>,
    pub span: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Error,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// What is wrong, and what to write instead.
    pub message: String,
    pub place: Option<Place>,
}

impl Place {
    /// Line and column of the start, both from 1; columns count characters.
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.span.start).unwrap_or(&self.source.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).map_or(0, |text| text.chars().count());
        (before.matches('\n').count() + 1, column + 1)
    }

    /// The line's text, and how many of its characters are meant: at least one, and none of the next line.
    fn line(&self) -> (&str, usize) {
        let (line, column) = self.line_column();
        let text = self.source.text.lines().nth(line - 1).unwrap_or_default();
        let meant = self.source.text.get(self.span.clone()).unwrap_or_default();
        let meant = meant.lines().next().map_or(0, |first| first.chars().count());
        let left = text.chars().count().saturating_sub(column - 1);
        (text, meant.min(left).max(1))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let Some(place) = &self.place else {
            return write!(f, "{severity}: {}", self.message);
        };
        let (line, column) = place.line_column();
        let (text, meant) = place.line();
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        // A tab before the caret stays a tab, so that the caret stands under its character.
        let indent: String = text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "{}:{line}:{column}: {severity}: {}", place.source.path.display(), self.message)?;
        writeln!(f, " {margin} |")?;
        writeln!(f, " {number} | {text}")?;
        write!(f, " {margin} | {indent}{}", "^".repeat(meant))
    }
}

/// Why a configuration can't be used: every finding, in the order of the files.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    pub findings: Vec<Diagnostic>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{finding}")?;
        }
        Ok(())
    }
}

/// Findings while a configuration is read.
#[derive(Debug, Default)]
pub struct Findings(pub Vec<Diagnostic>);

impl Findings {
    pub fn error(&mut self, place: Option<&Place>, message: impl Into<String>) {
        self.0.push(Diagnostic { severity: Severity::Error, message: message.into(), place: place.cloned() });
    }

    pub fn warn(&mut self, place: Option<&Place>, message: impl Into<String>) {
        self.0.push(Diagnostic { severity: Severity::Warning, message: message.into(), place: place.cloned() });
    }
}

/// `: did you mean "…"?` when one of `known` is near, else nothing.
pub fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, known).map_or_else(String::new, |name| format!(": did you mean \"{name}\"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(text: &str, span: Range<usize>) -> String {
        let source = Arc::new(Source { path: "a.toml".into(), text: text.into() });
        let place = Some(Place { source, span });
        Diagnostic { severity: Severity::Error, message: "no".into(), place }.to_string()
    }

    #[test]
    fn the_caret_stands_under_what_is_meant() {
        let text = "a = 1\n\tbé = \"x\"\n";
        let start = text.find("\"x\"").expect("the value");
        assert_eq!(
            diagnostic(text, start..start + 3),
            "a.toml:2:7: error: no\n   |\n 2 | \tbé = \"x\"\n   | \t     ^^^"
        );
    }

    #[test]
    fn spans_at_the_end_and_over_lines_are_cut() {
        assert!(diagnostic("a = ", 4..4).ends_with(" | a = \n   |     ^"));
        assert!(diagnostic("a = [\n1]", 4..8).ends_with(" | a = [\n   |     ^"));
    }

    #[test]
    fn suggestions_need_to_be_near() {
        assert_eq!(did_you_mean("sitte", ["site", "host"]), ": did you mean \"site\"?");
        assert_eq!(did_you_mean("Berlim", ["Paris", "Berlin"]), ": did you mean \"Berlin\"?");
        assert_eq!(did_you_mean("foo", ["site", "host"]), "");
    }
}
