//! The bench: requests through the agent, compared with the same requests without it and through other proxies.
//!
//! A number alone says little about an agent and much about a machine, so everything is a ratio of runs that took turns.
//! Each proxy has one thread or process and the configuration that a good operator would give it; each says in its file
//! which.

#![forbid(unsafe_code)]

mod client;
mod envoy;
mod figure;
mod haproxy;
mod head;
mod loads;
mod machine;
mod measure;
mod nginx;
mod program;
mod progress;
mod report;
mod sites;
mod system;
mod targets;
mod wrk;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use cheops_tests::interrupt;
use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rand::seq::SliceRandom;

use figure::{Figure, Spread};
use loads::{Load, Peer};
use progress::Progress;
use report::Comparison;
use sites::Sites;
use system::System;

/// Requests through the agent, compared with the same requests without it.
#[derive(Parser)]
struct Arguments {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 2)]
    seconds: u32,
    /// Measure only these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<What>,
    /// How many connections send requests at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    connections: Vec<u32>,
    /// Only these systems.
    #[arg(long, value_delimiter = ',')]
    systems: Vec<System>,
    /// Envoy's program.
    #[arg(long)]
    envoy: Option<PathBuf>,
    /// Where the results go: bench.md and bench.json.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    #[command(subcommand)]
    work: Option<client::Work>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Requests without a scope, against direct ones and other proxies.
    Unscoped,
    /// A new connection for each request.
    Connections,
    /// Answers of 1 MiB.
    Large,
    /// An upload of 1 GiB.
    Upload,
    /// 10,000 idle connections.
    Idle,
    /// Requests that another site serves, against direct ones over the same distance and two HAProxys.
    Scoped,
}

/// Descriptors of each process: two for each idle connection, and more.
const DESCRIPTORS: u64 = 65_536;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.work {
        Some(work) => client::work(work),
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupt::check().is_err() => {
            eprintln!("interrupted; everything that ran has been ended");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the bench failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    interrupt::watch()?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let limit = DESCRIPTORS.min(most);
    setrlimit(Resource::RLIMIT_NOFILE, limit, most).context("can't raise the limit of descriptors")?;
    let chosen = |system: &System| {
        let wanted = arguments.systems.is_empty() || arguments.systems.contains(system);
        wanted && (*system != System::Envoy || arguments.envoy.is_some())
    };
    let systems: Vec<System> = System::ALL.into_iter().filter(chosen).collect();
    let mut sites = Sites::build(&systems, arguments.envoy.as_deref())?;
    let begin = Instant::now();
    let measured = measure(arguments, &systems, &mut sites);
    if measured.is_err() && interrupt::check().is_ok() {
        sites.keep_logs(&arguments.out)?;
    }
    let comparisons = measured?;
    drop(sites);
    write(arguments, &comparisons, begin)
}

/// In the order of the report.
fn loads(arguments: &Arguments) -> Vec<Load> {
    let all = [What::Unscoped, What::Connections, What::Large, What::Upload, What::Idle, What::Scoped];
    let chosen = all.into_iter().filter(|what| arguments.only.is_empty() || arguments.only.contains(what));
    let each = |load: &dyn Fn(u32) -> Load| arguments.connections.iter().map(|count| load(*count)).collect::<Vec<_>>();
    chosen
        .flat_map(|what| match what {
            What::Unscoped => each(&Load::Unscoped),
            What::Connections => vec![Load::Connections],
            What::Large => vec![Load::Large],
            What::Upload => vec![Load::Upload],
            What::Idle => vec![Load::Idle],
            What::Scoped => [Peer::Potsdam, Peer::Paris]
                .into_iter()
                .flat_map(|peer| each(&|count| Load::Scoped(peer, count)))
                .collect(),
        })
        .collect()
}

fn measure(arguments: &Arguments, systems: &[System], sites: &mut Sites) -> anyhow::Result<Vec<Comparison>> {
    let loads = loads(arguments);
    let pairs = loads.iter().flat_map(|load| systems.iter().filter(|system| load.suits(**system)));
    let mut progress = Progress::new(pairs.count() as u32 * arguments.rounds);
    let mut comparisons: Vec<Comparison> =
        loads.iter().map(|load| Comparison::new(load.name(), load.title())).collect();
    for round in 1..=arguments.rounds {
        for (load, comparison) in loads.iter().zip(&mut comparisons) {
            let mut order: Vec<System> = systems.iter().copied().filter(|system| load.suits(*system)).collect();
            order.shuffle(&mut rand::rng());
            for system in order {
                let what = format!("round {round} of {}: {}, {}", arguments.rounds, load.name(), system.name());
                progress.next(&what)?;
                let sample = load.run(sites, system, arguments.seconds).with_context(|| what)?;
                comparison.add(system, round, sample);
            }
        }
    }
    Ok(comparisons)
}

fn write(arguments: &Arguments, comparisons: &[Comparison], begin: Instant) -> anyhow::Result<()> {
    fs::create_dir_all(&arguments.out).with_context(|| format!("can't make {}", arguments.out.display()))?;
    let machine = machine::describe(arguments.envoy.as_deref())?;
    let samples = comparisons.iter().flat_map(|comparison| &comparison.rows).flat_map(|row| &row.samples);
    let foreign = Spread::of(samples.filter_map(|(_, sample)| sample.get(&Figure::Foreign)).copied());
    let foreign = foreign.map_or_else(|| "not measured".to_owned(), |foreign| format!("{foreign} % of the machine"));
    let outcomes = targets::outcomes(comparisons);
    let mut text = format!(
        "# Bench\n\n{} rounds, {} s a measurement, {} minutes; the systems in another order each round; heads of about 800 bytes; one thread or process each. \
         Every cell: min / median / max over the rounds; a ratio is one within a round.\n\n\
         Meanwhile others (and kernel threads) took {foreign}. Memory is a process's, without its sockets and kernel maps.\n\n",
        arguments.rounds,
        arguments.seconds,
        begin.elapsed().as_secs().div_ceil(60),
    );
    machine.iter().for_each(|line| text.push_str(&format!("- {line}\n")));
    text.push('\n');
    text.push_str(&targets::table(&outcomes));
    comparisons.iter().for_each(|comparison| text.push_str(&comparison.tables()));
    println!("{text}");
    fs::write(arguments.out.join("bench.md"), text)?;
    let json = serde_json::json!({
        "rounds": arguments.rounds, "seconds": arguments.seconds, "machine": machine,
        "targets": outcomes, "comparisons": comparisons,
    });
    let file = arguments.out.join("bench.json");
    fs::write(&file, serde_json::to_vec_pretty(&json)?).with_context(|| format!("can't write {}", file.display()))?;
    println!("kept in {}", arguments.out.display());
    Ok(())
}
