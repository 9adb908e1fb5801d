//! What came of a suite: how many tests passed and failed, and what those that failed said.

/// A test that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    pub name: String,
    /// What it said that tells why and where, shortened.
    pub said: Vec<String>,
}

impl Failure {
    pub fn new(name: impl Into<String>, said: Vec<String>) -> Self {
        Self { name: name.into(), said }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub ignored: u64,
    pub ended_well: bool,
    /// Those that failed, as far as they are known.
    pub failures: Vec<Failure>,
}

impl Counts {
    /// Reads `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
    pub fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |what: &str| {
            let part = rest.split("; ").find(|part| part.ends_with(what))?;
            part.split(' ').next()?.parse().ok()
        };
        let (passed, failed, ignored) = (count("passed")?, count("failed")?, count("ignored")?);
        Some(Self { passed, failed, ignored, ended_well: true, ..Self::default() })
    }

    /// With the suite before each name; a failure without one is the suite's own.
    #[must_use]
    pub fn of(mut self, suite: &str) -> Self {
        self.failures.iter_mut().for_each(|failure| failure.name = format!("{suite}: {}", failure.name));
        if self.failed > 0 && self.failures.is_empty() {
            self.failures.push(Failure::new(suite, Vec::new()));
        }
        self
    }

    pub fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.failures.extend_from_slice(&other.failures);
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.ignored > 0 {
            write!(f, ", {} ignored", self.ignored)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.10s";
        let expected = Counts { passed: 12, failed: 3, ignored: 1, ended_well: true, ..Counts::default() };
        assert_eq!(Counts::parse(line), Some(expected));
    }

    #[test]
    fn other_lines_are_not() {
        assert_eq!(Counts::parse("test scope::tests::all ... ok"), None);
        assert_eq!(Counts::parse("running 3 tests"), None);
    }

    #[test]
    fn a_failure_is_named_after_its_suite_or_is_the_suites_own() {
        let names = |counts: Counts| counts.of("unit").failures.into_iter().map(|one| one.name).collect::<Vec<_>>();
        let failures = vec![Failure::new("a::b", Vec::new())];
        assert_eq!(names(Counts { failed: 1, failures, ..Counts::default() }), ["unit: a::b"]);
        assert_eq!(names(Counts { failed: 1, ..Counts::default() }), ["unit"]);
    }
}
