//! The demo: three sites on this machine, Kinto at each, `curl` as the client, and what a scope does.

#![forbid(unsafe_code)]

mod cloud;
mod kinto;
mod scenes;
mod show;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use cheops_tests::interrupt;
use clap::Parser;

/// Three sites on this machine, a real application at each, and what a scope does.
#[derive(Parser)]
struct Arguments {
    /// Kinto's command.
    #[arg(long, required_unless_present = "openstack")]
    kinto: Option<PathBuf>,
    /// OpenStack at each site, instead of Kinto.
    #[arg(long)]
    openstack: bool,
    /// Leave the sites up at the end.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let begin = Instant::now();
    interrupt::watch()?;
    let Some(kinto) = arguments.kinto.as_ref().filter(|_| !arguments.openstack) else {
        return cloud::run(begin, arguments.keep);
    };
    let mut stage = stage::Stage::build(kinto)?;
    let played = scenes::play(&mut stage);
    if played.is_err() && interrupt::check().is_ok() {
        stage.print_logs();
    }
    played?;
    println!("\nEvery answer was checked; {:.1} s.", begin.elapsed().as_secs_f64());
    if arguments.keep {
        stage.keep()?;
    }
    Ok(())
}
