//! `cargo xtask setup`: installs what building, testing, the demo and the bench need. Each step looks first whether it
//! is done already, so that an interrupted run goes on where it stopped and a second one takes no time.

mod packages;
pub mod toolchain;

use packages::Need;

/// Installs everything.
///
/// # Errors
/// When a package or tool can't be installed; the message says which and what it is for.
pub fn all() -> anyhow::Result<()> {
    packages::install(&[Need::Kernel, Need::Test, Need::Demo, Need::Bench])?;
    toolchain::ready().map(|toolchain| println!("setup: kernel programs are built by {toolchain}"))
}

/// What building needs.
///
/// # Errors
/// As [`all`].
pub fn for_build() -> anyhow::Result<toolchain::Toolchain> {
    toolchain::ready()
}

/// What tests and the demo need, beside building.
///
/// # Errors
/// As [`all`].
pub fn for_lab() -> anyhow::Result<()> {
    packages::install(&[Need::Test, Need::Demo])
}

/// What the bench needs, beside building.
///
/// # Errors
/// As [`all`].
pub fn for_bench() -> anyhow::Result<()> {
    packages::install(&[Need::Test, Need::Bench])
}
