//! The compiler of the kernel programs: rustup's nightly where it has the library source, else Debian's own compiler,
//! whose source is a package. Either needs `bpf-linker` built against the same LLVM.

use std::fmt;
use std::process::{Command, Stdio};

use anyhow::Context;

use super::packages::{Need, install};
use crate::run::{command, output, succeed, tools};

const BPF_LINKER: &str = "bpf-linker@0.13.0";
const LLVM: &str = "/usr/lib/llvm-22";

/// Which compiler builds the kernel programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// rustup's nightly with the component `rust-src`.
    Nightly,
    /// Debian's `rustc-web`.
    Debian,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nightly => "rustup's nightly",
            Self::Debian => "Debian's rustc-web",
        })
    }
}

impl Toolchain {
    /// A cargo of this toolchain, for the bpf target.
    pub fn cargo(self) -> Command {
        match self {
            Self::Nightly => {
                let mut cargo = command("cargo");
                cargo.arg("+nightly");
                cargo
            }
            Self::Debian => {
                let mut cargo = command("/usr/bin/cargo");
                cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
        }
    }
}

/// Finds which toolchain serves, and installs what it lacks.
///
/// # Errors
/// When neither can be made ready.
pub fn ready() -> anyhow::Result<Toolchain> {
    let toolchain = if nightly_has_source() { Toolchain::Nightly } else { Toolchain::Debian };
    if toolchain == Toolchain::Debian {
        install(&[Need::Kernel])?;
    }
    linker(toolchain)?;
    Ok(toolchain)
}

fn nightly_has_source() -> bool {
    output(command("rustc").args(["+nightly", "--print", "sysroot"]).stderr(Stdio::null())).is_some_and(|sysroot| {
        std::path::Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml").exists()
    })
}

/// Builds `bpf-linker` into the checkout's own tools unless it runs already.
fn linker(toolchain: Toolchain) -> anyhow::Result<()> {
    let linker = tools().join("bin/bpf-linker");
    if output(Command::new(&linker).arg("--version").stderr(Stdio::null())).is_some() {
        return Ok(());
    }
    println!("setup: building {BPF_LINKER} for {toolchain} (about a minute, once)");
    let mut cargo = command("cargo");
    cargo.args(["install", "--quiet", "--locked", "--root"]).arg(tools()).arg(BPF_LINKER);
    if toolchain == Toolchain::Debian {
        cargo
            .args(["--no-default-features", "--features", "llvm-22"])
            .env("LLVM_SYS_221_PREFIX", LLVM)
            .env("RUSTFLAGS", format!("-L native={LLVM}/lib -C link-arg=-Wl,-rpath,{LLVM}/lib"));
    }
    succeed(&mut cargo).context("can't build bpf-linker, which links the kernel programs")
}
