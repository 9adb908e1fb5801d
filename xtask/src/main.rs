//! The project's one door: `cargo xtask VERB`. One file a verb; every verb first makes sure of its own set-up.

#![forbid(unsafe_code)]

mod bench;
mod build;
mod demo;
mod fuzz;
mod install;
mod lint;
mod run;
mod setup;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what building, testing, the demo and the bench need; says what and why.
    Setup(setup::Options),
    /// Build the kernel programs, then the agent and the user's command.
    Build(build::Options),
    /// Three sites on this machine, a real application at each, and what a scope does.
    Demo(demo::Options),
    /// Run every suite, or one; the last line counts them.
    Test(test::Options),
    /// Measure requests through the agent against requests without it.
    Bench(bench::Options),
    /// Install the agent, the user's command, units, profiles, man pages and completions.
    Install(install::Options),
    /// Take everything away that `install` left behind, but for the configuration.
    Uninstall(install::UninstallOptions),
    /// Check formatting, clippy and the rules of the house.
    Lint(lint::Options),
    /// Run bytes that libFuzzer makes up through whatever reads bytes from outside.
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Setup(options) => setup::run(&options),
        Verb::Build(options) => build::run(&options),
        Verb::Demo(options) => demo::run(&options),
        Verb::Test(options) => test::run(&options),
        Verb::Bench(options) => bench::run(&options),
        Verb::Install(options) => install::run(&options),
        Verb::Uninstall(options) => install::uninstall(&options),
        Verb::Lint(options) => lint::run(&options),
        Verb::Fuzz(options) => fuzz::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
