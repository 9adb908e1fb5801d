//! Start and stop of the agent.
//!
//! Start: configuration → names and snapshot → listeners → peers → admin API → kernel programs → self-probe → ready.
//! Stop: the reverse, with a drain between the kernel programs' end and the listeners'. Two runtimes: the data path's,
//! whose threads serve clients and peers, and the one of this file, which looks after it and answers the admin API, so
//! that either stays alive when the other is busy.

mod background;
mod capture;
mod data;
mod descriptors;
mod doors;
mod handover;
mod instead;
mod knowledge;
mod latencies;
mod logging;
mod membership;
mod memory;
mod metadata;
mod metrics;
mod notify;
mod peers;
mod reload;
mod renew;
mod start;
mod stop;
mod store;
mod successor;
mod trust;

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::agent::Arguments;
use crate::config::{self, Loaded};

/// The daemon: runs until it is told to stop, or does what was asked instead.
pub fn run(arguments: &Arguments) -> ExitCode {
    match handover::between() {
        None => {}
        Some(Ok(())) => return ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("the new agent can't be started: {error}");
            return ExitCode::FAILURE;
        }
    }
    if let Some(code) = instead::run(arguments) {
        return code;
    }
    let loaded = match config::load(&arguments.config) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let level = match logging::start(arguments.log.as_deref(), &loaded.config.log) {
        Ok(level) => level,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    match serve(arguments, loaded, level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            notify::failed(&error);
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments, loaded: Loaded, level: logging::Level) -> anyhow::Result<()> {
    logging::panics_end_the_process();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    descriptors::limit(loaded.config.limits.descriptors);
    let data = data::runtime(loaded.config.threads)?;
    let ours =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("admin").enable_all().build()?;
    let outcome = ours.block_on(live(arguments, loaded, level, data.handle().clone()));
    data.shutdown(stop::LAST);
    ours.shutdown_timeout(stop::LAST);
    outcome
}

/// From the first step of the start to the last of the stop.
async fn live(
    arguments: &Arguments,
    loaded: Loaded,
    level: logging::Level,
    data: tokio::runtime::Handle,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let mut started = tokio::select! {
        started = start::start(&arguments.config, loaded, data) => started?,
        () = signals.stop() => return Ok(()),
    };
    let life = started.agent.life.clone();
    let mut told_ready = false;
    loop {
        let asked = tokio::select! {
            () = life.is_ready(), if !told_ready => {
                told_ready = true;
                notify::ready();
                continue;
            }
            told = signals.next() => match told {
                Told::Stop => break,
                Told::Replace => None,
                Told::Reload => {
                    reload::reload(&started, &level, arguments.log.is_some()).await;
                    continue;
                }
            },
            Some(asked) = started.upgrades.recv() => Some(asked),
            ended = started.background.join_next() => anyhow::bail!("a task that never ends has ended: {ended:?}"),
        };
        let handed_over = successor::hand_over(&mut started).await;
        if let Err(error) = &handed_over {
            tracing::error!("no new agent has taken over, this one goes on: {error:#}");
        }
        if let Some(asked) = asked {
            let outcome = handed_over.as_ref().map(|(successor, _)| *successor);
            asked.answer(outcome.map_err(|error| format!("{error:#}")));
        }
        if let Ok((_, came)) = handed_over {
            successor::retire(started, came, signals).await;
            return Ok(());
        }
    }
    stop::stop(started, signals).await;
    Ok(())
}

/// The signals that the agent listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
    replace: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR2.
    Replace,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
            replace: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.reload.recv() => Told::Reload,
            _ = self.replace.recv() => Told::Replace,
        }
    }

    /// Waits for SIGTERM or SIGINT; SIGHUP means nothing here.
    async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}
