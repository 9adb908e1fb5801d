//! `test`: builds what the tests need, runs every suite, and ends with one line that counts them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::build;
use crate::fuzz;
use crate::lint;
use crate::run;
use crate::setup::{self, Need};

#[derive(Args)]
pub struct Options {
    /// Only this suite; may be given several times.
    #[arg(long, value_name = "NAME")]
    suite: Vec<String>,
    /// Name the suites and run none.
    #[arg(long)]
    list: bool,
    /// The lab's agents have so many threads for their data path, instead of one per processor.
    #[arg(long, value_name = "NUMBER")]
    threads: Option<u16>,
    /// Only tests whose name contains this.
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

/// A suite: its name, what it checks, and how cargo runs it.
struct Suite {
    name: &'static str,
    about: &'static str,
    /// Empty for the rules of the house, which aren't cargo's.
    cargo: &'static [&'static str],
    /// How many of its tests run at once; `None` leaves it to the test harness. The lab's tests measure time.
    threads: Option<u8>,
}

const fn lab(name: &'static str, about: &'static str, cargo: &'static [&'static str]) -> Suite {
    Suite { name, about, cargo, threads: Some(1) }
}

macro_rules! on_lab {
    ($name:literal, $about:literal) => {
        lab($name, $about, &["--package", "cheops-tests", "--test", $name])
    };
}

/// The suite that is the fuzz targets themselves, which cargo-fuzz builds.
const FUZZ: &str = "fuzz";

/// The suite that needs OpenStack installed.
const OPENSTACK: &str = "openstack";

/// The suite whose tests print a table.
const SCALE: &str = "scale";

const SUITES: &[Suite] = &[
    Suite { name: "rules", about: "formatting and the rules of the house", cargo: &[], threads: None },
    Suite { name: "unit", about: "each room by itself", cargo: &["--workspace", "--lib", "--bins"], threads: None },
    Suite { name: "doc", about: "the examples in the documentation", cargo: &["--workspace", "--doc"], threads: None },
    on_lab!("scope", "scope-lang: cases, located errors, round trips"),
    on_lab!("profile", "profiles: located errors, matching, its speed"),
    Suite {
        name: "corpus",
        about: "the fuzz targets on their seeds",
        cargo: &["--package", "cheops-tests", "--test", "corpus"],
        threads: None,
    },
    Suite { name: FUZZ, about: "the fuzz targets on made-up bytes, 30 s each", cargo: &[], threads: None },
    on_lab!("lab", "the lab itself: delays, loss, cuts, clean-up"),
    on_lab!("kernel", "what the kernel programs take, and what they leave alone"),
    on_lab!("transparency", "both ends get what the other sent, as if there were no agent"),
    on_lab!("framing", "what is not well-formed HTTP goes no further"),
    on_lab!("cost", "memory and system calls of requests that go on as they came"),
    on_lab!("limits", "limits and what can't be served, each with its answer"),
    on_lab!("sharing", "a scoped request is served by another site"),
    on_lab!("otherwise", "A || B: never both"),
    on_lab!("lists", "a list over several sites: union, sites that give none, bounded memory"),
    on_lab!("records", "what is kept of sites: every kind and version, on the disk, after a crash, refused"),
    on_lab!("quorum", "the metadata cluster without a quorum, without members, wiped, restored: requests go on"),
    on_lab!("latency", "distances, states, and around, which goes by them"),
    Suite {
        name: SCALE,
        about: "up to a thousand sites on a simulated network: learning of deaths, bytes, estimates",
        // The agent's part of it is optimised here, and nowhere else: everybody would wait for that.
        cargo: &[
            "--package",
            "cheops-sim",
            "--test",
            "scale",
            "--config",
            "profile.dev.package.cheops-agent.opt-level=1",
        ],
        threads: Some(2),
    },
    on_lab!("standing", "cordoned and drained sites, and what the loss of a site would mean"),
    on_lab!("readiness", "ready by itself, with every peer and the metadata cluster away"),
    on_lab!("membership", "hosts join by command over a real cluster, let others in, leave, are taken away"),
    on_lab!("trust", "who is believed: renewed, revoked, expired, rotated; what is forged, stolen, or a lie"),
    on_lab!("workflow", "the scope follows the calls that services make"),
    on_lab!("tokens", "tokens of another site: who is asked, and what is believed"),
    on_lab!("openstack", "real OpenStack at three sites, its own command, and what a scope does there"),
    on_lab!("faults", "cuts, loss, dead and frozen agents: what users see"),
    on_lab!("exec", "the scope of a process tree"),
    on_lab!("restart", "a hundred restarts under load: nobody notices"),
    on_lab!("crash", "a killed, hung or failing agent: never a by-pass, served again soon"),
    on_lab!("upgrade", "a successor takes over under load: nobody notices, tunnels live on"),
    on_lab!("systemd", "units, their sandbox, installing, the agent under a real systemd"),
    on_lab!("commands", "cheops, cheops-agent, their answers and exit codes"),
];

pub fn run(options: &Options) -> Result<()> {
    if options.list {
        SUITES.iter().for_each(|suite| println!("{:<12} {}", suite.name, suite.about));
        return Ok(());
    }
    let suites = chosen(&options.suite)?;
    let mut needs = vec![Need::Build, Need::Test];
    needs.extend(suites.iter().any(|suite| suite.name == OPENSTACK).then_some(Need::OpenStack));
    setup::ensure(&needs)?;
    let begin = Instant::now();
    println!("▸ building");
    build::ebpf()?;
    build::next_layout()?;
    build::lab()?;
    let mut total = Counts::default();
    for suite in suites {
        println!("▸ {}: {}", suite.name, suite.about);
        let begin = Instant::now();
        let counts = suite.run(options)?;
        println!("  {}: {counts} in {:.1} s\n", suite.name, begin.elapsed().as_secs_f64());
        total.add(&counts.of(suite.name));
    }
    println!("all of it in {:.0} s", begin.elapsed().as_secs_f64());
    total.names.iter().for_each(|name| println!("FAILED {name}"));
    println!("{} passed, {} failed", total.passed, total.failed + total.ignored);
    if total.ignored > 0 {
        bail!("{} tests were ignored; none may be", total.ignored);
    }
    if total.failed > 0 {
        bail!("{} tests failed", total.failed);
    }
    if total.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Suite>> {
    if names.is_empty() {
        return Ok(SUITES.iter().collect());
    }
    let find = |name: &String| {
        let suite = SUITES.iter().find(|suite| suite.name == name);
        suite.with_context(|| format!("no suite \"{name}\"; there are: {}", all_names()))
    };
    names.iter().map(find).collect()
}

fn all_names() -> String {
    SUITES.iter().map(|suite| suite.name).collect::<Vec<_>>().join(", ")
}

impl Suite {
    fn run(&self, options: &Options) -> Result<Counts> {
        if self.name == FUZZ {
            return fuzzed();
        }
        if self.cargo.is_empty() {
            return rules();
        }
        let mut cargo = run::cargo();
        cargo.args(["test", "--quiet", "--locked", "--no-fail-fast"]).args(self.cargo);
        cargo.arg("--").args(options.filter.as_deref());
        if let Some(threads) = options.threads {
            cargo.env("CHEOPS_LAB_THREADS", threads.to_string());
        }
        if let Some(threads) = self.threads {
            cargo.arg(format!("--test-threads={threads}"));
        }
        if self.name != "doc" {
            cargo.arg("--format=pretty");
        }
        if self.name == SCALE {
            cargo.arg("--nocapture");
        }
        let mut counts = follow(&mut cargo)?;
        // A suite that doesn't compile, or that died, counts as a failure.
        if !counts.ended_well && counts.failed == 0 {
            println!("  {}: cargo test didn't end well", self.name);
            counts.failed = 1;
        }
        Ok(counts)
    }
}

/// Each fuzz target as a test.
fn fuzzed() -> Result<Counts> {
    let done = |target: &str, well| println!("  test {target} ... {}", if well { "ok" } else { "FAILED" });
    let (passed, failed) = fuzz::suite(done)?;
    Ok(Counts { passed: passed as u64, failed: failed as u64, ended_well: true, ..Counts::default() })
}

/// What `lint --quick` checks, each rule as a test.
fn rules() -> Result<Counts> {
    let sources = lint::Sources::read()?;
    let found = lint::RULES.iter().map(|rule| (rule.name, (rule.check)(&sources)));
    let mut counts = Counts { ended_well: true, ..Counts::default() };
    for (name, wrong) in std::iter::once(("code is formatted", lint::formatting())).chain(found) {
        println!("  test {name} ... {}", if wrong.is_empty() { "ok" } else { "FAILED" });
        wrong.iter().for_each(|line| println!("    {line}"));
        let count = if wrong.is_empty() { &mut counts.passed } else { &mut counts.failed };
        *count += 1;
        counts.names.extend((!wrong.is_empty()).then(|| name.to_owned()));
    }
    Ok(counts)
}

/// Runs cargo test, passes its lines on, and counts.
fn follow(cargo: &mut Command) -> Result<Counts> {
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("can't start cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("can't read what cargo test prints")?;
        match Counts::parse(&line) {
            Some(some) => counts.add(&some),
            None if line.trim().is_empty() || line.starts_with("running ") => {}
            None => {
                counts.names.extend(failed(&line));
                println!("  {line}");
            }
        }
    }
    counts.ended_well = child.wait()?.success();
    Ok(counts)
}

/// The test that failed, if the line says so.
fn failed(line: &str) -> Option<String> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED").map(str::to_owned)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
    ended_well: bool,
    /// Of those that failed, as far as they are known.
    names: Vec<String>,
}

impl Counts {
    /// Reads `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |what: &str| {
            let part = rest.split("; ").find(|part| part.ends_with(what))?;
            part.split(' ').next()?.parse().ok()
        };
        let (passed, failed, ignored) = (count("passed")?, count("failed")?, count("ignored")?);
        Some(Self { passed, failed, ignored, ended_well: true, ..Self::default() })
    }

    /// With the suite before each name; a failure without one is the suite's own.
    fn of(mut self, suite: &str) -> Self {
        self.names.iter_mut().for_each(|name| *name = format!("{suite}: {name}"));
        if self.failed > 0 && self.names.is_empty() {
            self.names.push(suite.to_owned());
        }
        self
    }

    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.names.extend_from_slice(&other.names);
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
    use super::{Counts, SUITES};

    #[test]
    fn every_suite_is_run() {
        let folder = crate::run::root().join("tests/tests");
        let files = std::fs::read_dir(folder).expect("the suites").flatten().map(|entry| entry.path());
        for file in files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
            let name = file.file_stem().and_then(|name| name.to_str()).expect("a name");
            assert!(SUITES.iter().any(|suite| suite.name == name), "{name} is in no list");
        }
    }

    #[test]
    fn result_lines_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.10s";
        let expected = Counts { passed: 12, failed: 3, ignored: 1, ended_well: true, ..Counts::default() };
        assert_eq!(Counts::parse(line), Some(expected));
    }

    #[test]
    fn those_that_failed_are_named() {
        assert_eq!(super::failed("test a::b ... FAILED").as_deref(), Some("a::b"));
        assert_eq!(super::failed("test a::b ... ok"), None);
        let names = vec!["a::b".to_owned()];
        assert_eq!(Counts { failed: 1, names, ..Counts::default() }.of("unit").names, ["unit: a::b"]);
        assert_eq!(Counts { failed: 1, ..Counts::default() }.of("unit").names, ["unit"]);
    }

    #[test]
    fn other_lines_are_not() {
        assert_eq!(Counts::parse("test scope::tests::all ... ok"), None);
        assert_eq!(Counts::parse("running 3 tests"), None);
    }
}
