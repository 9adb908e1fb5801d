//! `cheops completion SHELL`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, agent};

#[derive(Debug, Args)]
#[command(after_help = "In bash, for this session: source <(cheops completion bash)")]
pub struct Arguments {
    /// The shell that reads it
    #[arg(value_enum)]
    shell: Shell,
    /// For cheops-agent instead of cheops
    #[arg(long)]
    agent: bool,
}

pub fn run(arguments: &Arguments) -> Exit {
    let mut command = if arguments.agent { agent::Arguments::command() } else { Cli::command() };
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut std::io::stdout());
    Exit::Yes
}
