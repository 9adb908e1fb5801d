//! One line of `cheops check`: what was looked at, how it stands, and what to do about it.

use serde::{Deserialize, Serialize};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    Ok,
    /// Works, but not as one would wish.
    Warn,
    /// The agent can't do its work.
    Fail,
}

/// One graded check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Check {
    /// Stable, kebab-case: `kernel`, `cgroup2`, `btf`, …
    pub name: String,
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to do; empty when the grade is ok.
    pub remedy: String,
}

impl Check {
    /// A check that came out well.
    pub fn ok(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.into(), grade: Grade::Ok, found: found.into(), remedy: String::new() }
    }

    /// A check that came out as `grade`, with its remedy.
    pub fn not(name: &str, grade: Grade, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.into(), grade, found: found.into(), remedy: remedy.into() }
    }
}
