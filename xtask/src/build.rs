//! `cargo xtask build`: the kernel programs first, since the agent embeds them.

use clap::Args;

use crate::run::{command, root, succeed};
use crate::setup;

#[derive(Args, Clone, Copy, Default)]
pub struct Arguments {
    /// Optimise, as for an installation or a measurement.
    #[arg(long)]
    pub release: bool,
}

/// Builds everything.
///
/// # Errors
/// When a compiler fails.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    kernel_programs()?;
    let mut cargo = command("cargo");
    cargo.args(["build", "--package", "cheops-agent", "--package", "cheops-tests", "--bins"]);
    if arguments.release {
        cargo.arg("--release");
    }
    succeed(&mut cargo)
}

/// Builds the kernel programs.
///
/// # Errors
/// When their compiler fails.
pub fn kernel_programs() -> anyhow::Result<()> {
    let toolchain = setup::for_build()?;
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(root().join("cheops-ebpf"))
        .env_remove("CARGO_TARGET_DIR")
        .env("RUSTFLAGS", "-C debuginfo=2 -C link-arg=--btf")
        .args(["build", "--release", "--locked", "-Zbuild-std=core", "--target", "bpfel-unknown-none"]);
    succeed(&mut cargo)
}
