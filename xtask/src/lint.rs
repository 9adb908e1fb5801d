//! `lint`: formatting, clippy, and the rules of the house that no compiler knows.

mod readme;
mod rules;
mod sources;

use anyhow::{Result, bail};
use clap::Args;

use crate::build;
use crate::run;
use crate::setup::{self, Need};
pub use rules::RULES;
pub use sources::Sources;

#[derive(Args)]
pub struct Options {
    /// Only formatting and the rules of the house; no clippy.
    #[arg(long)]
    quick: bool,
}

/// A rule of the house.
pub struct Rule {
    pub name: &'static str,
    /// What it finds wrong, one line each: `file:line: what`.
    pub check: fn(&Sources) -> Vec<String>,
}

pub fn run(options: &Options) -> Result<()> {
    let mut failed = 0;
    let mut told = |name: &str, wrong: Vec<String>| {
        println!("{} {name}", if wrong.is_empty() { "ok    " } else { "FAILED" });
        wrong.iter().for_each(|line| println!("         {line}"));
        failed += usize::from(!wrong.is_empty());
    };
    told("formatting", formatting());
    let sources = Sources::read()?;
    for rule in RULES {
        told(rule.name, (rule.check)(&sources));
    }
    for line in rules::long_functions(&sources) {
        println!("note     {line}");
    }
    if !options.quick {
        setup::ensure(&[Need::Build])?;
        build::ebpf()?;
        told("clippy", clippy());
    }
    if failed > 0 {
        bail!("{failed} checks failed");
    }
    Ok(())
}

/// Whether rustfmt would leave everything as it is.
pub fn formatting() -> Vec<String> {
    let workspaces = [
        ("Cargo.toml", "cargo fmt --all"),
        ("cheops-ebpf/Cargo.toml", "cargo fmt --all in cheops-ebpf"),
        ("tests/fuzz/Cargo.toml", "cargo fmt in tests/fuzz"),
    ];
    let wrong = workspaces.iter().filter(|(manifest, _)| {
        let mut fmt = run::cargo();
        fmt.args(["fmt", "--all", "--check", "--quiet", "--manifest-path", manifest]);
        run::output(&mut fmt).is_none()
    });
    wrong.map(|(manifest, remedy)| format!("{manifest}: not formatted; run {remedy}")).collect()
}

fn clippy() -> Vec<String> {
    let mut clippy = run::cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "--deny", "warnings"]);
    run::succeed(&mut clippy).err().map(|error| error.to_string()).into_iter().collect()
}
