//! Embeds the kernel programs that `cargo xtask build` made. Without them the agent still compiles, and says so when it
//! is to take connections.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const OBJECT: &str = "bpfel-unknown-none/release/cheops-ebpf";

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let next = env::var_os("CARGO_FEATURE_NEXT_LAYOUT").is_some();
    let object = root.join(if next { "cheops-ebpf/target/next-layout" } else { "cheops-ebpf/target" }).join(OBJECT);
    let to = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("cheops-ebpf");
    println!("cargo::rerun-if-changed=build.rs");
    if object.exists() {
        println!("cargo::rerun-if-changed={}", object.display());
        fs::copy(object, to)?;
    } else {
        // A path that is missing would have this run at each build; the directory changes when the object appears.
        println!("cargo::rerun-if-changed={}", root.join("cheops-ebpf").display());
        println!("cargo::warning=the kernel programs are not built: run cargo xtask build");
        fs::write(to, [])?;
    }
    Ok(())
}
