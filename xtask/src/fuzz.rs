//! `fuzz`: bytes that libFuzzer makes up, through whatever reads bytes from outside.

use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

use crate::run;
use crate::setup::{self, Need, fuzzer};

/// What the targets are built for. cargo-fuzz's own choice depends on how it was built itself.
const TRIPLE: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

/// A target that cargo-fuzz has built.
struct Fuzz<'a> {
    name: &'a str,
    program: PathBuf,
}

#[derive(Args)]
pub struct Options {
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 30)]
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
    setup::ensure(&[Need::Build])?;
    fuzzer::ensure()?;
    let programs = build()?;
    let mut failed = Vec::new();
    for target in chosen {
        println!("▸ {target} for {} s", options.seconds);
        if !(Fuzz { name: target, program: programs.join(target) }).run(options.seconds)? {
            failed.push(target.as_str());
        }
    }
    if !failed.is_empty() {
        bail!("found something: {}", failed.join(", "));
    }
    println!("nothing found by {}", chosen.join(", "));
    Ok(())
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

/// Builds all targets; returns the folder that they are in.
fn build() -> Result<PathBuf> {
    let sanitizer = if fuzzer::has_sanitizer() { "address" } else { "none" };
    println!("▸ building the targets (the first time takes minutes); sanitizer: {sanitizer}");
    let target = run::root().join("target/fuzz");
    let mut build = fuzzer::cargo_fuzz();
    build.args(["build", "--fuzz-dir"]).arg(workspace());
    build.args(["--target", TRIPLE, "--sanitizer", sanitizer, "--target-dir"]).arg(&target);
    run::step("fuzz-build", &mut build)?;
    Ok(target.join(TRIPLE).join("release"))
}

impl Fuzz<'_> {
    /// Whether nothing was found. What it learns stays in `target/fuzz-corpus`, and the next run begins there.
    fn run(&self, seconds: u32) -> Result<bool> {
        let grown = folder("target/fuzz-corpus", self.name)?;
        let found = folder("target/fuzz-found", self.name)?;
        let mut fuzz = run::command(&self.program);
        fuzz.arg(&grown).arg(seeds().join(self.name));
        fuzz.args([&format!("-max_total_time={seconds}"), "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
        fuzz.arg(format!("-artifact_prefix={}/", found.display()));
        let step = format!("fuzz-{}", self.name);
        let Err(error) = run::step(&step, &mut fuzz) else { return Ok(true) };
        println!("  {error:#}");
        // What didn't hold stands far above the log's end, above libFuzzer's own report.
        let log = fs::read_to_string(run::log(&step)).unwrap_or_default();
        log.lines().skip_while(|line| !line.contains("panicked at")).take(4).for_each(|line| println!("  {line}"));
        if let Some(reproducer) = newest(&found)? {
            println!("  rerun it with: {} {}", self.program.display(), reproducer.display());
        }
        Ok(false)
    }
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
