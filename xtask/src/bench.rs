//! `bench`: requests through the agent, compared with the same requests without it and through another proxy.

use anyhow::Result;
use clap::Args;

use crate::build;
use crate::run;
use crate::setup::{self, Need};

#[derive(Args)]
pub struct Options {
    /// How often everything is measured; the paths take turns within a round.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// Measure only `unscoped` or `scoped` requests.
    #[arg(long, value_name = "WHAT")]
    only: Option<String>,
}

pub fn run(options: &Options) -> Result<()> {
    setup::ensure(&[Need::Build, Need::Bench])?;
    build::ebpf()?;
    build::lab()?;
    build::agent(true)?;
    let mut bench = run::command(build::program("cheops-bench", false));
    // Only the agent is measured, so only the agent is optimised.
    bench.env("CHEOPS_AGENT_BIN", build::program("cheops-agent", true));
    bench.args(["--rounds", &options.rounds.to_string(), "--seconds", &options.seconds.to_string()]);
    bench.arg("--out").arg(run::root().join("target/bench"));
    if let Some(only) = &options.only {
        bench.args(["--only", only]);
    }
    run::succeed(&mut bench)
}
