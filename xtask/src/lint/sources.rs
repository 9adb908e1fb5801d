//! The project's files, as git knows them.

use std::fs;

use anyhow::{Context, Result};

use crate::run;

/// A file of the project.
pub struct Source {
    /// From the project's root.
    pub path: String,
    pub text: String,
}

/// Every text file that git tracks, or would track.
pub struct Sources(pub Vec<Source>);

impl Sources {
    pub fn read() -> Result<Self> {
        let mut git = run::command("git");
        git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        let listed = run::output(&mut git).context("git ls-files failed")?;
        let root = run::root();
        let read = |path: &str| {
            let text = fs::read_to_string(root.join(path)).ok()?;
            Some(Source { path: path.to_owned(), text })
        };
        Ok(Self(listed.lines().filter_map(read).collect()))
    }

    /// Rust files, those of tests included.
    pub fn rust(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().filter(|source| source.path.ends_with(".rs"))
    }

    pub fn find(&self, path: &str) -> Option<&Source> {
        self.0.iter().find(|source| source.path == path)
    }
}

impl Source {
    /// Whether it only holds tests, or what they use.
    pub fn is_test(&self) -> bool {
        let named = |part: &str| matches!(part, "tests" | "tests.rs" | "fakes.rs" | "fuzz");
        self.path.split('/').any(named) && !self.path.starts_with("tests/src/")
    }

    /// Its lines before the module of tests at its end, numbered from 1.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("#[cfg(test)]\nmod ").unwrap_or(self.text.len());
        let code = self.text.get(..end).unwrap_or_default();
        code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Functions: name, first line, number of lines. Relies on rustfmt: a body ends at a brace as deep as its `fn`.
    pub fn functions(&self) -> Vec<(String, usize, usize)> {
        let mut found = Vec::new();
        let mut open: Vec<(String, usize, usize)> = Vec::new();
        for (number, line) in self.code() {
            let depth = line.len() - line.trim_start().len();
            if let Some(name) = function_name(line.trim_start()).filter(|_| !line.ends_with(['}', ';'])) {
                open.push((name, number, depth));
            } else if line.trim_end() == format!("{:depth$}}}", "")
                && let Some((name, begin, _)) = open.pop_if(|(_, _, at)| *at == depth)
            {
                found.push((name, begin, number - begin + 1));
            }
        }
        found
    }
}

fn function_name(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let qualifiers =
        |word: &&str| word.starts_with("pub") || ["const", "async", "unsafe", "extern", "\"C\""].contains(word);
    let first = words.by_ref().find(|word| !qualifiers(word))?;
    let name = if first == "fn" { words.next()? } else { return None };
    Some(name.split(['(', '<']).next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn functions_are_measured_without_tests() {
        let text = "fn one() {\n    two\n}\n\nimpl X {\n    pub async fn two(\n        a: u8,\n    ) {\n        x\n    }\n}\n\n\
                    #[cfg(test)]\nmod tests {\n    fn three() {\n    }\n}\n";
        let source = Source { path: "a.rs".into(), text: text.into() };
        assert_eq!(source.functions(), [("one".into(), 1, 3), ("two".into(), 6, 5)]);
    }
}
