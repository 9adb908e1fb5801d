//! The daemon.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cheops_agent::app::run(&cheops_agent::cli::agent::Arguments::parse())
}
