//! The bench: requests through the agent, compared with the same requests without it.
//!
//! A number alone says little about an agent and much about a machine, so everything is a ratio of runs that took turns.

#![forbid(unsafe_code)]

mod nginx;
mod report;
mod sites;
mod wrk;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use report::Comparison;
use sites::Sites;
use wrk::Wrk;

/// Requests through the agent, compared with the same requests without it.
#[derive(Parser)]
struct Arguments {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// Measure only this.
    #[arg(long)]
    only: Option<What>,
    /// Where the results go: bench.md and bench.json.
    #[arg(long)]
    out: PathBuf,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Requests without a scope, against direct ones and another proxy.
    Unscoped,
    /// Requests that another site serves, against direct ones over the same distance.
    Scoped,
}

/// How many connections send requests at once.
const CONNECTIONS: [u32; 3] = [1, 16, 64];

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the bench failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let sites = Sites::build()?;
    let wrk = Wrk::new(sites.berlin(), sites.folder.path(), arguments.seconds)?;
    let chosen =
        [What::Unscoped, What::Scoped].into_iter().filter(|what| arguments.only.is_none_or(|only| only == *what));
    let measured: anyhow::Result<Vec<Comparison>> = chosen
        .map(|what| match what {
            What::Unscoped => unscoped(arguments, &sites, &wrk),
            What::Scoped => scoped(arguments, &sites, &wrk),
        })
        .collect();
    if measured.is_err() {
        sites.keep_logs(&arguments.out)?;
    }
    write(arguments, &measured?)
}

/// Requests without scope, to a service of the same host.
fn unscoped(arguments: &Arguments, sites: &Sites, wrk: &Wrk<'_>) -> anyhow::Result<Comparison> {
    let [direct, agent, proxy] = [nginx::OPEN, nginx::GUARDED, nginx::PROXIED].map(|port| sites.url("Berlin", port));
    let mut comparison = Comparison::new("Without a scope, client and service on one host");
    for round in 1..=arguments.rounds {
        eprintln!("without a scope: round {round} of {}", arguments.rounds);
        for connections in CONNECTIONS {
            comparison.add("direct", connections, wrk.run(&direct, connections, None)?);
            let before = sites.taken()?;
            let sample = wrk.run(&agent, connections, None)?;
            sites.check_taken(before, sample.requests)?;
            comparison.add("agent", connections, sample);
            comparison.add("nginx", connections, wrk.run(&proxy, connections, None)?);
        }
    }
    Ok(comparison)
}

/// Requests that another site serves, against the same requests sent there directly.
fn scoped(arguments: &Arguments, sites: &Sites, wrk: &Wrk<'_>) -> anyhow::Result<Comparison> {
    let direct = sites.url("Paris", nginx::OPEN);
    let agent = sites.url("Berlin", nginx::GUARDED);
    let mut comparison = Comparison::new("At a site 20 ms away: directly, and by a scope through both agents");
    for round in 1..=arguments.rounds {
        eprintln!("at a site 20 ms away: round {round} of {}", arguments.rounds);
        for connections in CONNECTIONS {
            comparison.add("direct", connections, wrk.run(&direct, connections, None)?);
            comparison.add("scoped", connections, wrk.run(&agent, connections, Some("{Web: Paris}"))?);
        }
    }
    Ok(comparison)
}

fn write(arguments: &Arguments, comparisons: &[Comparison]) -> anyhow::Result<()> {
    fs::create_dir_all(&arguments.out).with_context(|| format!("can't make {}", arguments.out.display()))?;
    let conditions = format!(
        "{} rounds of {} s, the paths in turn; heads of about 800 bytes; agent, nginx and the service have one thread each; {} processors, Linux {}.",
        arguments.rounds,
        arguments.seconds,
        std::thread::available_parallelism()?,
        nix::sys::utsname::uname()?.release().to_string_lossy(),
    );
    let tables: Vec<String> = comparisons.iter().map(Comparison::table).collect();
    let text = format!("{conditions}\n\n{}", tables.join("\n"));
    println!("{text}");
    fs::write(arguments.out.join("bench.md"), text)?;
    let json = serde_json::json!({ "conditions": conditions, "comparisons": comparisons });
    let file = arguments.out.join("bench.json");
    fs::write(&file, serde_json::to_vec_pretty(&json)?).with_context(|| format!("can't write {}", file.display()))?;
    println!("kept in {}", arguments.out.display());
    Ok(())
}
