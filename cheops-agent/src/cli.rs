//! The commands: `cheops`, which talks to the agent over the admin socket, and the daemon's own arguments.
//!
//! One file a verb. A verb returns an [`Exit`]; what goes wrong below it is an error with its own exit code.

pub mod agent;
mod bug_report;
pub mod check;
pub mod client;
mod completion;
mod exec;
pub mod exit;
pub mod explain;
mod man;
mod map;
mod metadata;
mod openstack;
pub mod output;
mod profile;
mod scope;
mod services;
mod site;
mod sites;
mod status;
mod tap;
mod token;
mod upgrade;
mod version;
mod workflows;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use client::{Client, ClientError};
pub use exit::Exit;
pub use output::{Format, Output};

/// Where the admin socket is when nobody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/cheops/admin.sock";

/// Asks and steers the Cheops agent of this host.
#[derive(Debug, Parser)]
#[command(name = "cheops", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every verb takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The agent's admin socket
    #[arg(long, global = true, env = "CHEOPS_SOCKET", default_value = DEFAULT_SOCKET, value_name = "PATH")]
    pub socket: PathBuf,
    /// How the answer is printed
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// How the agent, its capture and the other sites stand
    Status(status::Arguments),
    /// Graded checks, each with its remedy
    Check(check::Arguments),
    /// The sites that are known
    Sites,
    /// How this site, or another, takes part
    Site(site::Arguments),
    /// What lets a host into the federation, once
    Token(token::Arguments),
    /// How far the sites are from one another
    Map,
    /// The services that are known, and where they are; or reads them from a platform's catalog
    Services(services::Arguments),
    /// What would be done with a request, and why; sends nothing
    Explain(explain::Arguments),
    /// What a scope says, its normal form, and what is wrong with it
    Scope(scope::Arguments),
    /// What a profile makes of a request
    Profile(profile::Arguments),
    /// Runs a command whose requests carry a scope
    Exec(exec::Arguments),
    /// Live requests, one line each
    Tap(tap::Arguments),
    /// The scoped requests whose calls are found, and these calls
    Workflows(workflows::Arguments),
    /// The program that is installed now takes over from the agent that runs; nobody notices
    Upgrade(upgrade::Arguments),
    /// Everything that a report of a defect needs, without secrets
    BugReport(bug_report::Arguments),
    /// Prints what makes a shell complete the command's words
    Completion(completion::Arguments),
    /// Writes the man pages
    #[command(hide = true)]
    Man(man::Arguments),
    /// This command's version, and the agent's
    Version,
}

/// What a verb works with.
#[derive(Debug)]
pub struct Context {
    pub client: Client,
    pub output: Output,
}

/// Runs the verb and prints what it says, or why it failed.
pub fn run(cli: Cli) -> ExitCode {
    let context = Context { client: Client::new(cli.global.socket), output: Output::new(cli.global.output) };
    match dispatch(cli.verb, &context) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("cheops: {error:#}");
            exit::of(&error).into()
        }
    }
}

fn dispatch(verb: Verb, context: &Context) -> anyhow::Result<Exit> {
    match verb {
        Verb::Status(arguments) => status::run(&arguments, context),
        Verb::Check(arguments) => check::run(&arguments, context),
        Verb::Sites => sites::run(context),
        Verb::Site(arguments) => site::run(&arguments, context),
        Verb::Token(arguments) => token::run(&arguments, context),
        Verb::Map => map::run(context),
        Verb::Services(arguments) => services::run(&arguments, context),
        Verb::Explain(arguments) => explain::run(&arguments, context),
        Verb::Scope(arguments) => scope::run(&arguments, context),
        Verb::Profile(arguments) => profile::run(&arguments, context),
        Verb::Exec(arguments) => exec::run(arguments, context),
        Verb::Tap(arguments) => tap::run(&arguments, context),
        Verb::Workflows(arguments) => workflows::run(&arguments, context),
        Verb::Upgrade(arguments) => upgrade::run(&arguments, context),
        Verb::BugReport(arguments) => bug_report::run(&arguments, context),
        Verb::Completion(arguments) => Ok(completion::run(&arguments)),
        Verb::Man(arguments) => man::run(&arguments),
        Verb::Version => version::run(context),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_is_well_formed() {
        Cli::command().debug_assert();
        agent::Arguments::command().debug_assert();
    }
}
