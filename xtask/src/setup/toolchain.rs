//! The compiler of the eBPF programs. It must build `core` for `bpfel-unknown-none`, so it needs Rust's own sources, and
//! `bpf-linker` must be linked with the compiler's own version of LLVM. Two toolchains do:
//!
//! - rustup's nightly with its component `rust-src`, and `bpf-linker` as it is;
//! - Debian's `rustc-web` (with `rust-web-src` and LLVM 22), and `bpf-linker` built against Debian's LLVM 22.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::has_apt;
use super::packages::{self, Package};
use crate::run;

const LINKER_VERSION: &str = "0.13.0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// rustup's nightly.
    Nightly,
    /// Debian's `rustc-web`.
    Debian,
}

const DEBIAN_LLVM: &str = "/usr/lib/llvm-22";

const DEBIAN: &[Package] = &[
    Package { name: "rustc-web", why: "compiles the eBPF programs (no rust-src for rustup's compiler here)" },
    Package { name: "cargo-web", why: "rustc-web's own cargo" },
    Package { name: "rust-web-src", why: "core, which is built for the eBPF target" },
    Package { name: "llvm-22-dev", why: "bpf-linker is linked with it" },
    Package { name: "libpolly-22-dev", why: "LLVM 22 wants it at link time" },
    Package { name: "libzstd-dev", why: "LLVM 22 wants it at link time" },
    Package { name: "zlib1g-dev", why: "LLVM 22 wants it at link time" },
];

/// The toolchain that serves here: what is ready, else what can be installed. Remembered once it was used, so that a
/// later start doesn't look again.
pub fn choose() -> Result<Toolchain> {
    let remembered = fs::read_to_string(memory()).unwrap_or_default();
    match remembered.trim() {
        "nightly" if nightly_sources() => return Ok(Toolchain::Nightly),
        "debian" if packages::missing(DEBIAN).is_empty() => return Ok(Toolchain::Debian),
        _ => {}
    }
    if nightly_sources() {
        return Ok(Toolchain::Nightly);
    }
    if packages::missing(DEBIAN).is_empty() {
        return Ok(Toolchain::Debian);
    }
    if has_apt() {
        packages::refresh_lists()?;
        if DEBIAN.iter().all(|package| packages::available(package.name)) {
            return Ok(Toolchain::Debian);
        }
    }
    Ok(Toolchain::Nightly)
}

fn memory() -> PathBuf {
    run::tools().join("ebpf-toolchain")
}

fn nightly_sources() -> bool {
    let sysroot = run::output(run::command("rustc").args(["+nightly", "--print", "sysroot"]));
    sysroot.is_some_and(|path| Path::new(path.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml").exists())
}

impl Toolchain {
    /// The Debian packages that it is made of.
    pub fn packages(self) -> &'static [Package] {
        match self {
            Self::Nightly => &[],
            Self::Debian => DEBIAN,
        }
    }

    /// What is missing besides packages, in words.
    pub fn missing(self) -> Vec<String> {
        let sources = self == Self::Nightly && !nightly_sources();
        let sources = sources.then(|| "rustup's nightly with rust-src".to_owned());
        let linker = self.linker().is_none().then(|| format!("bpf-linker {LINKER_VERSION}"));
        sources.into_iter().chain(linker).collect()
    }

    /// Installs what isn't a Debian package.
    pub fn ensure(self) -> Result<()> {
        if self == Self::Nightly && !nightly_sources() {
            println!("▸ installing rustup's nightly with rust-src: it compiles the eBPF programs");
            let mut rustup = run::command("rustup");
            rustup.args(["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"]);
            run::step("rustup-nightly", &mut rustup)?;
        }
        if self.linker().is_none() {
            println!("▸ building bpf-linker {LINKER_VERSION}: it links the eBPF programs (about a minute)");
            run::step("bpf-linker", &mut self.install_linker())?;
        }
        if self.linker().is_none() {
            bail!("bpf-linker was installed but doesn't run: {}", self.linker_root().display());
        }
        let name = match self {
            Self::Nightly => "nightly",
            Self::Debian => "debian",
        };
        if fs::read_to_string(memory()).ok().as_deref() != Some(name) {
            fs::write(memory(), name).with_context(|| format!("can't write {}", memory().display()))?;
        }
        Ok(())
    }

    /// cargo for the eBPF workspace, with the right compiler and linker.
    pub fn cargo(self) -> Result<Command> {
        let linker = self.linker().context("bpf-linker is missing: cargo xtask setup")?;
        let mut cargo = match self {
            Self::Nightly => {
                let mut cargo = run::command("cargo");
                cargo.arg("+nightly");
                cargo
            }
            Self::Debian => {
                let mut cargo = run::command("/usr/bin/cargo");
                cargo.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
        };
        cargo.current_dir(run::root().join("cheops-ebpf")).env_remove("CARGO_TARGET_DIR");
        cargo.env("PATH", run::path_with(&linker));
        // Types as BTF: the kernel's verifier and bpftool read them.
        cargo.env("RUSTFLAGS", "-C debuginfo=2 -C link-arg=--btf");
        Ok(cargo)
    }

    /// The folder of a `bpf-linker` that fits, or `None`.
    fn linker(self) -> Option<PathBuf> {
        let bin = self.linker_root().join("bin");
        let version = run::output(Command::new(bin.join("bpf-linker")).arg("--version"))?;
        version.contains(LINKER_VERSION).then_some(bin)
    }

    fn linker_root(self) -> PathBuf {
        let name = match self {
            Self::Nightly => "nightly",
            Self::Debian => "llvm-22",
        };
        run::tools().join(format!("bpf-linker-{LINKER_VERSION}-{name}"))
    }

    fn install_linker(self) -> Command {
        let mut install = run::cargo();
        install.args(["install", "bpf-linker", "--locked", "--version", LINKER_VERSION, "--root"]);
        install.arg(self.linker_root());
        // One target folder, so that an interrupted build goes on.
        install.arg("--target-dir").arg(run::tools().join("bpf-linker-build"));
        if self == Self::Debian {
            install.args(["--no-default-features", "--features", "llvm-22"]);
            install.env("LLVM_SYS_221_PREFIX", DEBIAN_LLVM);
            install.env("RUSTFLAGS", format!("-L native={DEBIAN_LLVM}/lib -C link-arg=-Wl,-rpath,{DEBIAN_LLVM}/lib"));
        }
        install
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nightly => "rustup's nightly",
            Self::Debian => "Debian's rustc-web",
        })
    }
}
