//! `bench`: requests through the agent, compared with the same requests without it and through other proxies.

use anyhow::Result;
use clap::Args;

use crate::build;
use crate::run;
use crate::setup::{self, Need, python};

#[derive(Args)]
pub struct Options {
    /// How often everything is measured; the systems take turns within a round, in another order each time.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// Measure only these: unscoped, connections, large, upload, idle, scoped.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    only: Vec<String>,
    /// How many connections send requests at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    connections: Vec<u32>,
    /// Only these: direct, agent, nginx, haproxy, haproxy-lua, envoy.
    #[arg(long, value_name = "SYSTEM", value_delimiter = ',')]
    systems: Vec<String>,
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
    let connections: Vec<String> = options.connections.iter().map(u32::to_string).collect();
    bench.args(["--connections", &connections.join(",")]);
    for (flag, chosen) in [("--only", &options.only), ("--systems", &options.systems)] {
        if !chosen.is_empty() {
            bench.args([flag, &chosen.join(",")]);
        }
    }
    bench.arg("--out").arg(run::root().join("target/bench"));
    if let Some(envoy) = python::envoy() {
        bench.arg("--envoy").arg(envoy);
    }
    run::succeed(&mut bench)
}
