//! `demo`: three sites on this machine, a real application at each, and what a scope does. `demo openstack`: OpenStack.

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::build;
use crate::run;
use crate::setup::{self, Need, python};

/// The application that each site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Application {
    /// A small JSON store.
    Kinto,
    /// Keystone, Glance, Placement and Nova, and their own command.
    Openstack,
}

#[derive(Args)]
pub struct Options {
    #[arg(value_enum, default_value = "kinto")]
    application: Application,
    /// Leave the sites up at the end, and say how to enter them and how to end them.
    #[arg(long)]
    keep: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let openstack = options.application == Application::Openstack;
    setup::ensure(if openstack { &[Need::Build, Need::OpenStack] } else { &[Need::Build, Need::Demo] })?;
    build::ebpf()?;
    build::lab()?;
    let mut demo = run::command(build::program("cheops-demo", false));
    if openstack {
        demo.arg("--openstack");
    } else {
        demo.arg("--kinto").arg(python::kinto());
    }
    if options.keep {
        demo.arg("--keep");
    }
    run::succeed(&mut demo)
}
