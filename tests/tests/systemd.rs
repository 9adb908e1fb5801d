//! What `cargo xtask install` puts onto a host: the units, their sandbox, the configuration with every key, and how the
//! agent lives under a real systemd.

#[path = "systemd/booted.rs"]
mod booted;
#[path = "systemd/configuration.rs"]
mod configuration;
#[path = "systemd/installed.rs"]
mod installed;
#[path = "systemd/restarted.rs"]
mod restarted;
#[path = "systemd/units.rs"]
mod units;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use cheops_tests::lab::program;
use tempfile::TempDir;

/// The project's root.
fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of `systemd/`.
fn shipped(name: &str) -> String {
    let path = project().join("systemd").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A directory beside the programs: `/tmp` is hidden from services.
fn directory() -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("systemd-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// Runs `cargo xtask` with these arguments.
fn xtask(arguments: &[&str], root: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(program("xtask")?);
    let output = command.args(arguments).arg("--root").arg(root).output()?;
    ensure!(output.status.success(), "xtask {}: {}{}", arguments.join(" "), out(&output), complaint(&output));
    Ok(out(&output))
}

/// Runs a program of systemd's to its end.
fn run(name: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    Command::new(name).args(arguments).output().with_context(|| format!("can't run {name}: install systemd"))
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
