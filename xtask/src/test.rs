//! `test`: builds what the tests need, runs every suite, and ends with one line that counts them.

mod counts;
mod follow;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use self::counts::{Counts, Failure};
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

/// The suite that is the fuzz targets themselves.
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
        // The agent's part of it is optimised here, and nowhere else: everybody would wait for that. What it depends on
        // has the features, and is the build, of the other suites because of the other packages.
        cargo: &[
            "--package",
            "cheops-agent",
            "--package",
            "cheops-tests",
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
    let mut times = Times::default();
    println!("▸ building");
    build::ebpf()?;
    build::next_layout()?;
    build::lab()?;
    times.suites.push(("building".to_owned(), begin.elapsed()));
    let mut total = Counts::default();
    for suite in suites {
        println!("▸ {}: {}", suite.name, suite.about);
        let begin = Instant::now();
        let counts = suite.run(options, &mut times)?;
        println!("  {}: {counts} in {:.1} s\n", suite.name, begin.elapsed().as_secs_f64());
        times.suites.push((suite.name.to_owned(), begin.elapsed()));
        total.add(&counts.of(suite.name));
    }
    times.tell();
    println!("all of it in {:.0} s", begin.elapsed().as_secs_f64());
    tell_failures(&total.failures);
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

/// Where the time went.
#[derive(Default)]
struct Times {
    suites: Vec<(String, Duration)>,
    /// Of suites whose tests run one after the other.
    tests: Vec<(String, Duration)>,
}

impl Times {
    /// The longest first.
    fn tell(&mut self) {
        for (what, times, many) in [("suites", &mut self.suites, usize::MAX), ("tests", &mut self.tests, 30)] {
            times.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
            let shown = times.iter().filter(|(_, took)| *took >= Duration::from_secs(1)).take(many);
            let shown: Vec<String> = shown.map(|(name, took)| format!("{name} {:.0}", took.as_secs_f64())).collect();
            if !shown.is_empty() {
                println!("{what} by seconds: {}", shown.join(", "));
            }
        }
    }
}

/// What failed, and why: the output of the suites may be long, and is often cut in its middle.
fn tell_failures(failures: &[Failure]) {
    /// Failures that are told with what they said.
    const MANY: usize = 20;
    for (index, failure) in failures.iter().enumerate() {
        println!("FAILED {}", failure.name);
        if index < MANY {
            failure.said.iter().for_each(|line| println!("    {line}"));
        }
    }
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
    fn run(&self, options: &Options, times: &mut Times) -> Result<Counts> {
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
            cargo.arg("--show-output");
        }
        let followed = follow::follow(self.name, &mut cargo, self.threads == Some(1))?;
        let named = |(test, took): (String, Duration)| (format!("{}: {test}", self.name), took);
        times.tests.extend(followed.took.into_iter().map(named));
        Ok(followed.counts)
    }
}

/// Each fuzz target as a test.
fn fuzzed() -> Result<Counts> {
    let done = |target: &str, well| println!("  test {target} ... {}", if well { "ok" } else { "FAILED" });
    let (passed, found) = fuzz::suite(done)?;
    let failures: Vec<Failure> = found.into_iter().map(|(target, said)| Failure::new(target, said)).collect();
    Ok(Counts { passed: passed as u64, failed: failures.len() as u64, ended_well: true, failures, ..Counts::default() })
}

/// What `lint --quick` checks, each rule as a test.
fn rules() -> Result<Counts> {
    let sources = lint::Sources::read()?;
    let found = lint::RULES.iter().map(|rule| (rule.name, (rule.check)(&sources)));
    let mut counts = Counts { ended_well: true, ..Counts::default() };
    for (name, wrong) in std::iter::once(("code is formatted", lint::formatting())).chain(found) {
        println!("  test {name} ... {}", if wrong.is_empty() { "ok" } else { "FAILED" });
        wrong.iter().for_each(|line| println!("    {line}"));
        if wrong.is_empty() {
            counts.passed += 1;
        } else {
            counts.failed += 1;
            counts.failures.push(Failure::new(name, wrong));
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::SUITES;

    #[test]
    fn every_suite_is_run() {
        let folder = crate::run::root().join("tests/tests");
        let files = std::fs::read_dir(folder).expect("the suites").flatten().map(|entry| entry.path());
        for file in files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
            let name = file.file_stem().and_then(|name| name.to_str()).expect("a name");
            assert!(SUITES.iter().any(|suite| suite.name == name), "{name} is in no list");
        }
    }
}
