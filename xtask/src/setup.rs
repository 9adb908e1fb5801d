//! Set-up: what building, testing, the demo and the bench need, on a fresh Debian with rustup and root.
//!
//! Each step looks whether it is already done, so an interrupted set-up goes on where it stopped and a complete one
//! takes well under a second.

pub mod etcd;
pub mod fuzzer;
pub mod packages;
pub mod python;
pub mod toolchain;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;

/// What the set-up is for: a verb asks for no more than it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Build,
    Test,
    Demo,
    Bench,
    /// OpenStack itself, for its suite and its demo.
    OpenStack,
}

#[derive(Args)]
pub struct Options {
    /// Only look: say what is missing, install nothing; exit code 1 if anything is.
    #[arg(long)]
    check: bool,
}

/// `cargo xtask setup`: everything, for all verbs.
pub fn run(options: &Options) -> Result<()> {
    let needs = [Need::Build, Need::Test, Need::Demo, Need::Bench, Need::OpenStack];
    if options.check {
        return check(&needs);
    }
    let begin = Instant::now();
    ensure(&needs)?;
    println!("set up in {:.1} s; eBPF programs are built by {}", begin.elapsed().as_secs_f64(), toolchain::choose()?);
    Ok(())
}

/// Makes sure of what `needs` need. Says nothing if nothing is missing.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let chosen = toolchain::choose()?;
    let mut wanted = packages::wanted(needs);
    if needs.contains(&Need::Build) {
        wanted.extend(chosen.packages());
    }
    packages::ensure(&wanted)?;
    if needs.contains(&Need::Build) {
        chosen.ensure()?;
    }
    if needs.contains(&Need::Test) || needs.contains(&Need::Demo) {
        etcd::ensure()?;
    }
    if needs.contains(&Need::Demo) {
        python::ensure()?;
    }
    if needs.contains(&Need::Bench) {
        python::try_envoy();
    }
    Ok(())
}

fn check(needs: &[Need]) -> Result<()> {
    let chosen = toolchain::choose()?;
    let mut wanted = packages::wanted(needs);
    wanted.extend(chosen.packages());
    let mut missing: Vec<String> =
        packages::missing(&wanted).iter().map(|package| format!("{}: {}", package.name, package.why)).collect();
    missing.extend(chosen.missing());
    missing.extend(etcd::missing());
    missing.extend(python::missing());
    if !missing.is_empty() {
        bail!("missing:\n  {}\ninstall it with: cargo xtask setup", missing.join("\n  "));
    }
    println!("all is there; eBPF programs are built by {chosen}");
    Ok(())
}

/// Whether this is Debian or a child of it.
pub fn has_apt() -> bool {
    Path::new("/usr/bin/apt-get").exists()
}
