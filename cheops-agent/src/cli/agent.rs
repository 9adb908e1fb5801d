//! The daemon's arguments.

use std::path::PathBuf;

use clap::{Args, Parser};

/// Takes the requests that reach this host's APIs, and makes sites collaborate where a scope asks for it.
#[derive(Debug, Parser)]
#[command(name = "cheops-agent", version, max_term_width = 100)]
pub struct Arguments {
    /// The configuration; drop-ins are read from agent.d beside it
    #[arg(long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// A level or filters, instead of the configuration's log.level
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    #[command(flatten)]
    pub instead: Instead,
}

/// What is done instead of running; at most one.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Instead {
    /// Reads the configuration, says what is wrong with it, and ends
    #[arg(long)]
    pub check_config: bool,
    /// Checks whether this host will do, and ends
    #[arg(long)]
    pub check: bool,
    /// Prints every key of the configuration with its type, default and meaning
    #[arg(long)]
    pub help_config: bool,
    /// What would be done with a request by this configuration, without an agent: METHOD URL [SCOPE]
    #[arg(long, num_args = 2..=3, value_names = ["METHOD", "URL", "SCOPE"])]
    pub explain: Option<Vec<String>>,
    /// Prints the kernel programs' maps
    #[arg(long)]
    pub dump_maps: bool,
    /// Takes away programs and maps that a dead agent left behind
    #[arg(long)]
    pub detach: bool,
}
