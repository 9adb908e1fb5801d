//! The user's command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cheops_agent::cli::run(cheops_agent::cli::Cli::parse())
}
