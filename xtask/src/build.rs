//! `build`: the kernel programs with their own compiler, then the agent, which holds them, and the user's command.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
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
    run::succeed(&mut ebpf_cargo()?)
}

fn ebpf_cargo() -> Result<Command> {
    let mut cargo = toolchain::choose()?.cargo()?;
    cargo.args(["build", "--release", "--quiet", "--locked", "-Zbuild-std=core", "--target", "bpfel-unknown-none"]);
    Ok(cargo)
}

/// An agent whose maps have another layout, which tests upgrade to: `next-layout/cheops-agent` beside the one of
/// [`lab`], whose build has to follow, as both are built at the same place.
pub fn next_layout() -> Result<()> {
    let mut ebpf = ebpf_cargo()?;
    run::succeed(ebpf.args(["--features", "next-layout", "--target-dir", "target/next-layout"]))?;
    let mut cargo = run::cargo();
    // With the packages of `lab`: alone, what it depends on would be built once more, with fewer features.
    cargo.args([
        "build",
        "--package",
        "cheops-agent",
        "--package",
        "cheops-tests",
        "--bin",
        "cheops-agent",
        "--locked",
    ]);
    cargo.args(["--features", "cheops-agent/next-layout"]);
    run::succeed(&mut cargo)?;
    let built = program("cheops-agent", false);
    let to = built.with_file_name("next-layout");
    std::fs::create_dir_all(&to)?;
    std::fs::copy(built, to.join("cheops-agent")).context("can't keep the agent of the next layout")?;
    Ok(())
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
