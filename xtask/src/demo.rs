//! `demo`: three sites on this machine, a real application at each, and what a scope does.

use anyhow::Result;
use clap::Args;

use crate::build;
use crate::run;
use crate::setup::{self, Need, python};

#[derive(Args)]
pub struct Options {
    /// Leave the sites up at the end, and say how to enter them and how to end them.
    #[arg(long)]
    keep: bool,
}

pub fn run(options: &Options) -> Result<()> {
    setup::ensure(&[Need::Build, Need::Demo])?;
    build::ebpf()?;
    build::lab()?;
    let mut demo = run::command(build::program("cheops-demo", false));
    demo.arg("--kinto").arg(python::kinto());
    if options.keep {
        demo.arg("--keep");
    }
    run::succeed(&mut demo)
}
