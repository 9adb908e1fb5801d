//! cargo-fuzz, and the compiler that the fuzz targets are built with.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::run;

const VERSION: &str = "0.13.2";

/// Installs cargo-fuzz into the project's own tools, unless it is there.
pub fn ensure() -> Result<()> {
    if run::output(Command::new(program()).arg("--version")).is_some_and(|said| said.contains(VERSION)) {
        return Ok(());
    }
    println!("▸ building cargo-fuzz {VERSION} into target/tools: it builds the targets with libFuzzer");
    let mut install = run::cargo();
    install.args(["install", "cargo-fuzz", "--locked", "--version", VERSION, "--root"]).arg(root());
    // One target folder, so that an interrupted build goes on.
    install.arg("--target-dir").arg(run::tools().join("cargo-fuzz-build"));
    run::step("cargo-fuzz", &mut install)
}

/// Whether rustup's nightly is there: it alone has the address sanitizer.
pub fn has_sanitizer() -> bool {
    run::output(run::command("rustc").args(["+nightly", "--version"])).is_some()
}

/// `cargo fuzz`, with the compiler that serves here.
pub fn cargo_fuzz() -> Command {
    let sanitizer = has_sanitizer();
    let mut cargo = run::command("cargo");
    if sanitizer {
        cargo.arg("+nightly");
    }
    cargo.env("PATH", run::path_with(&root().join("bin")));
    cargo.arg("fuzz");
    cargo
}

fn root() -> PathBuf {
    run::tools().join(format!("cargo-fuzz-{VERSION}"))
}

fn program() -> PathBuf {
    root().join("bin/cargo-fuzz")
}
