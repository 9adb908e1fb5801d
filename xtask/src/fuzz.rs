//! `fuzz`: bytes that libFuzzer makes up, through whatever reads bytes from outside.

use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::run;
use crate::setup::{self, Need, fuzzer};

/// What the targets are built for. It is named, so that build scripts aren't instrumented.
const TRIPLE: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

/// The program that has every target, and what chooses one.
const PROGRAM: &str = "any";
const CHOICE: &str = "CHEOPS_FUZZ_TARGET";
/// Targets that run at once.
const AT_ONCE: usize = 2;

/// How long each target runs unless told otherwise, and in the suite `fuzz`.
const SECONDS: u32 = 30;

#[derive(Args)]
pub struct Options {
    /// How long each target runs, in minutes.
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    minutes: Option<u32>,
    /// How long each target runs, in seconds.
    #[arg(long, value_name = "N", default_value_t = SECONDS)]
    seconds: u32,
    /// Name the targets and run none.
    #[arg(long)]
    list: bool,
    /// Only these targets.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

pub fn run(options: &Options) -> Result<()> {
    let all = targets()?;
    if options.list {
        all.iter().for_each(|target| println!("{target}"));
        return Ok(());
    }
    if let Some(unknown) = options.targets.iter().find(|name| !all.contains(name)) {
        bail!("no target \"{unknown}\"; there are: {}", all.join(", "));
    }
    let chosen = if options.targets.is_empty() { &all } else { &options.targets };
    let seconds = options.minutes.map_or(options.seconds, |minutes| minutes.saturating_mul(60));
    let failed = run_all(chosen, seconds, |_, _| {})?;
    if !failed.is_empty() {
        let names: Vec<&str> = failed.iter().map(|(target, _)| target.as_str()).collect();
        bail!("found something: {}", names.join(", "));
    }
    println!("nothing found by {}", chosen.join(", "));
    Ok(())
}

/// A target that found something, and what it said of it.
pub type Found = (String, Vec<String>);

/// Every target for as long as the tests give it: how many found nothing, and those that did. `done` is told of each.
pub fn suite(done: impl Fn(&str, bool) + Sync) -> Result<(usize, Vec<Found>)> {
    let all = targets()?;
    let failed = run_all(&all, SECONDS, done)?;
    Ok((all.len() - failed.len(), failed))
}

/// Builds, and runs two targets at a time; those that found something.
fn run_all(chosen: &[String], seconds: u32, done: impl Fn(&str, bool) + Sync) -> Result<Vec<Found>> {
    setup::ensure(&[Need::Build])?;
    let program = build()?;
    let (next, failed) = (Mutex::new(chosen.iter()), Mutex::new(Vec::new()));
    let work = || -> Result<()> {
        loop {
            let Some(target) = lock(&next).next() else { return Ok(()) };
            println!("  {target} for {seconds} s");
            let found = fuzz(&program, target, seconds)?;
            done(target, found.is_none());
            lock(&failed).extend(found.map(|said| (target.clone(), said)));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(worked) => worked,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The targets, by the folders of their seeds.
fn targets() -> Result<Vec<String>> {
    let seeds = seeds();
    let entries = fs::read_dir(&seeds).with_context(|| format!("can't read {}", seeds.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn workspace() -> PathBuf {
    run::root().join("tests/fuzz")
}

fn seeds() -> PathBuf {
    workspace().join("corpus")
}

/// Builds the program.
fn build() -> Result<PathBuf> {
    let sanitizer = if fuzzer::has_sanitizer() { "address" } else { "none" };
    println!("▸ building the targets (the first time takes one to five minutes); sanitizer: {sanitizer}");
    let target = run::root().join("target/fuzz");
    let mut build = fuzzer::cargo();
    build.args(["build", "--release", "--target", TRIPLE, "--manifest-path"]);
    build.arg(workspace().join("Cargo.toml")).arg("--target-dir").arg(&target);
    run::step("fuzz-build", &mut build)?;
    Ok(target.join(TRIPLE).join("release").join(PROGRAM))
}

/// What was found, if anything was. What it learns stays in `target/fuzz-corpus`, and the next run begins there.
fn fuzz(program: &Path, target: &str, seconds: u32) -> Result<Option<Vec<String>>> {
    let grown = folder("target/fuzz-corpus", target)?;
    let found = folder("target/fuzz-found", target)?;
    let log = run::log(&format!("fuzz-{target}"));
    let output = fs::File::create(&log).with_context(|| format!("can't write {}", log.display()))?;
    let mut fuzz = run::command(program);
    fuzz.env(CHOICE, target).arg(&grown).arg(seeds().join(target));
    fuzz.args([&format!("-max_total_time={seconds}"), "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    fuzz.arg(format!("-artifact_prefix={}/", found.display()));
    fuzz.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    if fuzz.status().with_context(|| format!("can't start {}", program.display()))?.success() {
        return Ok(None);
    }
    let mut said = vec![format!("{target} found something; its log is {}", log.display())];
    // What didn't hold stands far above the log's end, above libFuzzer's own report.
    let text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    said.extend(text.lines().skip_while(|line| !line.contains("panicked at")).take(4).map(str::to_owned));
    if let Some(reproducer) = newest(&found)? {
        said.push(format!("rerun it with: {CHOICE}={target} {} {}", program.display(), reproducer.display()));
    }
    said.iter().for_each(|line| println!("  {line}"));
    Ok(Some(said))
}

fn folder(kind: &str, target: &str) -> Result<PathBuf> {
    let path = run::root().join(kind).join(target);
    fs::create_dir_all(&path).with_context(|| format!("can't make {}", path.display()))?;
    Ok(path)
}

/// The file that was written last.
fn newest(folder: &Path) -> Result<Option<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    Ok(files.into_iter().max().map(|(_, path)| path))
}
