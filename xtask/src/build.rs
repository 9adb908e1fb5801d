//! `build`: the kernel programs with their own compiler, then the agent, which holds them, and the user's command.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::run;
use crate::setup::{self, Need, toolchain};

#[derive(Args, Default)]
pub struct Options {
    /// Optimised, as it is installed and measured.
    #[arg(long)]
    pub release: bool,
    /// Only the kernel programs.
    #[arg(long)]
    pub ebpf: bool,
}

pub fn run(options: &Options) -> Result<()> {
    setup::ensure(&[Need::Build])?;
    ebpf()?;
    if !options.ebpf {
        agent(options.release)?;
    }
    Ok(())
}

/// The kernel programs. Small and always optimised: the verifier wouldn't take them otherwise.
pub fn ebpf() -> Result<()> {
    let mut cargo = toolchain::choose()?.cargo()?;
    cargo.args(["build", "--release", "--quiet", "--locked", "-Zbuild-std=core", "--target", "bpfel-unknown-none"]);
    run::succeed(&mut cargo)
}

/// The agent and the user's command.
pub fn agent(release: bool) -> Result<()> {
    let mut cargo = run::cargo();
    cargo.args(["build", "--package", "cheops-agent", "--bins", "--locked"]);
    if release {
        cargo.arg("--release");
    }
    run::succeed(&mut cargo)
}

/// The agent, the user's command, and the programs of the lab, the demo and the bench, none of them optimised.
pub fn lab() -> Result<()> {
    let mut cargo = run::cargo();
    cargo.args(["build", "--package", "cheops-agent", "--package", "cheops-tests", "--bins", "--locked"]);
    run::succeed(&mut cargo)
}

/// Where a program was built.
pub fn program(name: &str, release: bool) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| run::root().join("target"), PathBuf::from);
    target.join(if release { "release" } else { "debug" }).join(name)
}
