//! The project's one door: `cargo xtask VERB`. Every verb first makes sure that what it needs is installed.

mod build;
mod run;
mod setup;

use clap::{Parser, Subcommand};

/// Build, try, test and measure Cheops.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what building and testing needs, say why, and resume where an interruption left off.
    Setup,
    /// Build the kernel programs, then the agent and the user's command.
    Build(build::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().verb {
        Verb::Setup => setup::all(),
        Verb::Build(arguments) => build::run(&arguments),
    }
}
