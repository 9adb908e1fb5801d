//! Debian packages: which, and what each is for.

use anyhow::{Context, bail};
use nix::unistd::geteuid;

use crate::run::{command, output, succeed};

/// What a package is needed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Building the kernel programs with Debian's compiler.
    Kernel,
    Test,
    Demo,
    Bench,
}

/// Package, need, reason.
const PACKAGES: &[(&str, Need, &str)] = &[
    ("rustc-web", Need::Kernel, "a Rust compiler whose library source is packaged, for the kernel programs"),
    ("cargo-web", Need::Kernel, "the cargo that goes with it"),
    ("rust-web-src", Need::Kernel, "the source of core, which is built for the bpf target"),
    ("llvm-22-dev", Need::Kernel, "LLVM as that compiler uses it, for bpf-linker"),
    ("libpolly-22-dev", Need::Kernel, "a library that LLVM's link line names"),
    ("libzstd-dev", Need::Kernel, "a library that LLVM's link line names"),
    ("zlib1g-dev", Need::Kernel, "a library that LLVM's link line names"),
    ("gcc", Need::Kernel, "the linker of host programs"),
    ("iproute2", Need::Test, "network namespaces of the lab's sites"),
    ("util-linux", Need::Test, "nsenter and unshare, to start programs at a site"),
    ("curl", Need::Test, "a real client"),
    ("systemd", Need::Test, "systemd-analyze, to check the units"),
    ("python3-venv", Need::Demo, "the demo's application is installed into an environment of its own"),
    ("wrk", Need::Bench, "the load of the bench"),
    ("nginx-light", Need::Bench, "the bench's service, and the proxy that the agent is compared with"),
];

/// Installs what is missing for these needs.
///
/// # Errors
/// When apt-get fails, or this isn't root and something is missing.
pub fn install(needs: &[Need]) -> anyhow::Result<()> {
    let wanted: Vec<_> = PACKAGES.iter().filter(|(_, need, _)| needs.contains(need)).collect();
    let missing: Vec<_> = wanted.into_iter().filter(|(name, _, _)| !installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("setup: installing {} Debian packages:", missing.len());
    for (name, _, why) in &missing {
        println!("  {name:<18} {why}");
    }
    let names: Vec<&str> = missing.iter().map(|(name, _, _)| *name).collect();
    if !geteuid().is_root() {
        bail!("installing packages needs root; run: sudo apt-get install --no-install-recommends {}", names.join(" "));
    }
    let apt = |arguments: &[&str]| {
        let mut apt = command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
        succeed(&mut apt)
    };
    apt(&["update"]).context("can't read the package lists")?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(&names);
    apt(&arguments).with_context(|| format!("can't install {}", names.join(" ")))
}

fn installed(name: &str) -> bool {
    // A package may be replaced by a fuller variant of itself, such as nginx-light by nginx.
    let names =
        if name == "nginx-light" { vec!["nginx-light", "nginx-core", "nginx-full", "nginx"] } else { vec![name] };
    names.iter().any(|name| {
        output(command("dpkg-query").args(["-W", "-f", "${Status}", name]).stderr(std::process::Stdio::null()))
            .is_some_and(|status| status == "install ok installed")
    })
}
