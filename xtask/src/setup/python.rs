//! Kinto, the demo's application: a JSON store with an HTTP API, from PyPI, in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run;

/// What pip installs; the first is the application.
const REQUIREMENTS: &[&str] = &["kinto==26.5.0"];

fn folder() -> PathBuf {
    run::tools().join("kinto")
}

/// Kinto's own command.
pub fn kinto() -> PathBuf {
    folder().join("bin/kinto")
}

/// Says what was installed when, so that another version is noticed.
fn mark() -> PathBuf {
    folder().join("installed")
}

pub fn missing() -> Option<String> {
    let installed = fs::read_to_string(mark()).unwrap_or_default();
    (installed != REQUIREMENTS.join(" ")).then(|| REQUIREMENTS.join(" "))
}

pub fn ensure() -> Result<()> {
    if missing().is_none() {
        return Ok(());
    }
    println!("▸ installing Kinto from PyPI into target/tools/kinto: the application that the demo shows");
    // Debian's own interpreter: another one in PATH may lack venv.
    run::step("venv", Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(folder()))?;
    let mut pip = Command::new(folder().join("bin/pip"));
    run::step("pip", pip.args(["install", "--disable-pip-version-check"]).args(REQUIREMENTS))?;
    fs::write(mark(), REQUIREMENTS.join(" ")).with_context(|| format!("can't write {}", mark().display()))
}
