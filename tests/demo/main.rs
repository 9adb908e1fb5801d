//! The demo: three sites on this machine, Kinto at each, `curl` as the client, and what a scope does.

#![forbid(unsafe_code)]

mod kinto;
mod scenes;
mod show;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use nix::sys::signal::{SigSet, Signal};

/// Three sites on this machine, a real application at each, and what a scope does.
#[derive(Parser)]
struct Arguments {
    /// Kinto's command.
    #[arg(long)]
    kinto: PathBuf,
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
    if arguments.keep {
        // Every thread leaves these to the one that waits for them at the end.
        let mut signals = SigSet::empty();
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().for_each(|signal| signals.add(signal));
        signals.thread_block().context("can't block signals")?;
    }
    let mut stage = stage::Stage::build(&arguments.kinto)?;
    let played = scenes::play(&mut stage);
    if played.is_err() {
        stage.print_logs();
    }
    played?;
    println!("\nEvery answer was checked; {:.1} s.", begin.elapsed().as_secs_f64());
    if arguments.keep {
        stage.keep()?;
    }
    Ok(())
}
