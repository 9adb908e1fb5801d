//! What `cargo test` prints, line by line: what is passed on, counted, and kept to be said again at the end.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::counts::{Counts, Failure};

/// Lines that are kept of what a test said, and characters of each.
const LINES: usize = 20;
const WIDTH: usize = 300;
/// Lines of a stack that are kept: those of this project, the nearest first.
const FRAMES: usize = 3;

/// Reads what one `cargo test` prints to standard output.
#[derive(Default)]
pub struct Reader {
    counts: Counts,
    /// The test whose section this is.
    section: Option<Section>,
    /// When the last test ended, and how long each took; of tests that run one after the other.
    last: Option<Instant>,
    took: Vec<(String, Duration)>,
}

/// What a failed test has said.
struct Section {
    failure: Failure,
    /// Within a stack, how many of its lines may still be kept.
    stack: Option<usize>,
}

impl Reader {
    /// Takes a line; whether it is to be passed on.
    fn take(&mut self, line: &str) -> bool {
        if let Some(some) = Counts::parse(line) {
            self.close();
            self.counts.add(&some);
            return false;
        }
        if let Some(name) = section(line) {
            self.close();
            self.section = Some(Section { failure: Failure::new(name, Vec::new()), stack: None });
        } else if line == "failures:" || line == "successes:" {
            self.close();
        } else if let Some(section) = &mut self.section {
            section.take(line);
        } else if let Some((name, well)) = ended(line) {
            self.ended(name, well);
        }
        !(line.trim().is_empty() || line.starts_with("running "))
    }

    fn ended(&mut self, name: &str, well: bool) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.took.push((name.to_owned(), now - last));
        }
        if !well {
            self.counts.failures.push(Failure::new(name, Vec::new()));
        }
    }

    /// Ends the section: what it said belongs to the test that failed.
    fn close(&mut self) {
        let Some(Section { failure, .. }) = self.section.take() else { return };
        if let Some(known) = self.counts.failures.iter_mut().find(|known| known.name == failure.name) {
            known.said = failure.said;
        }
    }
}

impl Section {
    fn take(&mut self, line: &str) {
        let bare = line.trim();
        if bare.eq_ignore_ascii_case("stack backtrace:") {
            self.stack = Some(FRAMES);
            return;
        }
        if let Some(left) = &mut self.stack {
            let number = bare.split(':').next().unwrap_or_default();
            let frame = bare.starts_with("at ") || number.parse::<u32>().is_ok();
            // Those of this project are told from where the test runs.
            let own = bare.starts_with("at ./");
            if frame && !(own && *left > 0) {
                return;
            }
            if frame {
                *left -= 1;
            } else {
                self.stack = None;
            }
        }
        let noise = bare.is_empty() || bare.starts_with("note: ");
        if !noise && self.failure.said.len() < LINES {
            self.failure.said.push(line.trim_end().chars().take(WIDTH).collect());
        }
    }
}

/// The test whose section begins with this line.
fn section(line: &str) -> Option<&str> {
    let name = line.strip_prefix("---- ")?.strip_suffix(" ----")?;
    Some(name.strip_suffix(" stdout").unwrap_or(name))
}

/// The test that ended, and whether it did well.
fn ended(line: &str) -> Option<(&str, bool)> {
    let rest = line.strip_prefix("test ")?;
    let well = rest.strip_suffix(" ... ok").map(|name| (name, true));
    well.or_else(|| rest.strip_suffix(" ... FAILED").map(|name| (name, false)))
}

/// What came of a `cargo test`, and how long each of its tests took, where that can be told.
pub struct Followed {
    pub counts: Counts,
    pub took: Vec<(String, Duration)>,
}

/// Runs cargo test, passes its lines on, and counts. `name` is the suite's; `one` says that one test runs at a time.
pub fn follow(name: &str, cargo: &mut Command, one: bool) -> Result<Followed> {
    cargo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = cargo.spawn().context("can't start cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let errors = child.stderr.take().context("cargo test has no standard error")?;
    let last = Last::of(errors);
    let mut reader = Reader::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("can't read what cargo test prints")?;
        let line = String::from_utf8_lossy(&line);
        // The first test begins when cargo has built it.
        if one && line.starts_with("running ") {
            reader.last = Some(Instant::now());
        }
        if reader.take(&line) {
            println!("  {line}");
        }
    }
    reader.close();
    let Reader { mut counts, took, .. } = reader;
    counts.ended_well = child.wait()?.success();
    // A suite that doesn't compile, or that died, counts as a failure.
    if !counts.ended_well && counts.failed == 0 {
        println!("  {name}: cargo test didn't end well");
        counts.failed = 1;
        counts.failures = vec![Failure::new("cargo test didn't end well", last.lines())];
    }
    Ok(Followed { counts, took })
}

/// The last lines of standard error, which are passed on.
struct Last {
    lines: Arc<Mutex<VecDeque<String>>>,
    reader: JoinHandle<()>,
}

impl Last {
    fn of(from: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                eprintln!("{line}");
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_back(line.chars().take(WIDTH).collect());
                if kept.len() > LINES {
                    kept.pop_front();
                }
            }
        });
        Self { lines, reader }
    }

    /// Those that came. Whoever still holds the other end, as a process that a test has left, isn't waited for.
    fn lines(&self) -> Vec<String> {
        let end = Instant::now() + Duration::from_secs(5);
        while !self.reader.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Reader {
        let mut reader = Reader::default();
        for line in text.lines() {
            reader.take(line);
        }
        reader.close();
        reader
    }

    #[test]
    fn those_that_failed_are_named() {
        assert_eq!(ended("test a::b ... FAILED"), Some(("a::b", false)));
        assert_eq!(ended("test a::b ... ok"), Some(("a::b", true)));
        assert_eq!(ended("test a::b has been running for over 60 seconds"), None);
    }

    #[test]
    fn what_a_failed_test_said_is_kept_without_its_stack() {
        let reader = read(
            "\nrunning 3 tests\ntest a::well ... ok\ntest a::b ... FAILED\ntest c ... FAILED\n\nfailures:\n\n\
             ---- a::b stdout ----\n\nthread 'a::b' (4758) panicked at src/a.rs:314:21:\nassertion failed: x <= y\n\
             stack backtrace:\n   0: __rustc::rust_begin_unwind\n             at /rustc/5980/panicking.rs:689:5\n   \
             1: {async_block#0}\n             at ./src/peer/tests/links.rs:314:21\n   2: poll\n             at \
             /elsewhere/tokio/src/park.rs:149:9\nnote: Some details are omitted\n\n\
             ---- c stdout ----\nError: it isn't so\n\n\nfailures:\n    a::b\n    c\n\n\
             test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n",
        );
        let [first, second] = reader.counts.failures.as_slice() else { panic!("{:?}", reader.counts) };
        assert_eq!((first.name.as_str(), second.name.as_str()), ("a::b", "c"));
        assert_eq!(
            first.said,
            [
                "thread 'a::b' (4758) panicked at src/a.rs:314:21:",
                "assertion failed: x <= y",
                "             at ./src/peer/tests/links.rs:314:21"
            ]
        );
        assert_eq!(second.said, ["Error: it isn't so"]);
        assert_eq!((reader.counts.passed, reader.counts.failed), (1, 2));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "x".repeat(WIDTH * 2);
        let many = format!("{long}\n").repeat(LINES * 2);
        let reader = read(&format!("test a ... FAILED\nfailures:\n---- a stdout ----\n{many}failures:\n    a\n"));
        let said = &reader.counts.failures[0].said;
        assert_eq!(said.len(), LINES);
        assert!(said.iter().all(|line| line.len() == WIDTH));
    }

    #[test]
    fn what_others_print_is_no_failures_own() {
        let reader =
            read("test a ... FAILED\nsuccesses:\n---- b stdout ----\na table\nfailures:\n---- a stdout ----\nno\n");
        assert_eq!(reader.counts.failures, [Failure::new("a", vec!["no".to_owned()])]);
    }

    #[test]
    fn a_suite_that_dies_says_its_last_words() -> Result<()> {
        let mut shell = Command::new("sh");
        let followed = follow("none", shell.args(["-c", "echo running 1 test; echo it broke >&2; exit 101"]), true)?;
        assert_eq!(followed.counts.failed, 1);
        assert_eq!(followed.counts.failures[0].said, ["it broke"]);
        Ok(())
    }

    #[test]
    fn how_long_tests_took_is_told_where_one_runs_at_a_time() -> Result<()> {
        let lines = "echo running 1 test; sleep 0.2; echo 'test a ... ok'; echo 'test b ... ok'";
        let shell = || {
            let mut shell = Command::new("sh");
            shell.args(["-c", lines]);
            shell
        };
        let took = follow("none", &mut shell(), true)?.took;
        assert_eq!(took.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(took[0].1 >= Duration::from_millis(150) && took[0].1 > took[1].1, "{took:?}");
        Ok(())
    }
}
