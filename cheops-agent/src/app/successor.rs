//! Being replaced by a successor, and what is left to do then.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{timeout, timeout_at};

use super::capture::Capture;
use super::doors::Came;
use super::handover::Talk;
use super::start::Started;
use super::stop::LAST;
use super::{Signals, notify};
use crate::admin::Agent;
use crate::admin::earlier::{self, Earlier};
use crate::observe::Limit;

/// Hands everything on to a successor: its process. Then this agent serves only what it had; before that nothing is
/// changed.
///
/// # Errors
/// Why there is no successor. This agent goes on.
pub async fn hand_over(started: &mut Started) -> anyhow::Result<(i32, Option<Came>)> {
    // One agent has the file of the metadata at a time, and the successor needs what stands in it to begin.
    started.agent.metadata.release();
    let handed = hand_on(started).await;
    if handed.is_err() {
        started.agent.metadata.take_back();
    }
    handed
}

async fn hand_on(started: &mut Started) -> anyhow::Result<(i32, Option<Came>)> {
    let mut all = started.to_keep().context("no descriptors are free")?;
    all.extend(started.admin_to_keep()?);
    let program = started.program.clone();
    let (talk, pid) = tokio::task::spawn_blocking(move || {
        let talk = Talk::begin(&program, &all)?;
        let pid = talk.prepared()?;
        anyhow::Ok((talk, pid))
    })
    .await??;
    let came = started.freeze(true).await;
    let taken = tokio::task::spawn_blocking(move || {
        let taken = talk.taken();
        (talk, taken)
    });
    let (talk, taken) = taken.await?;
    if let Err(error) = taken {
        drop(talk);
        if let Err(gone) = kill(Pid::from_raw(pid), Signal::SIGKILL) {
            tracing::debug!(pid, %gone, "the successor has ended");
        }
        go_on(started, came).await;
        return Err(error);
    }
    notify::main_process(pid);
    talk.say("done")?;
    tracing::info!(successor = pid, "a new agent has taken over");
    Ok((pid, came))
}

/// After a successor that failed.
async fn go_on(started: &mut Started, came: Option<Came>) {
    if let Capture::Ebpf(interceptor) = &started.capture
        && let Err(error) = interceptor.restore()
    {
        tracing::error!(%error, "the kernel programs can't be put back");
    }
    started.doors.open_again(came);
    started.freeze(false).await;
}

/// Finishes what this agent has, each connection with its next answer, tunnels and watches with their end.
pub async fn retire(mut started: Started, came: Option<Came>, signals: Signals) {
    finish(&mut started, came, signals).await;
    // Whoever asked for the successor is told of it.
    drop(timeout(LAST, async { while started.admin.join_next().await.is_some() {} }).await);
}

async fn finish(started: &mut Started, came: Option<Came>, mut signals: Signals) {
    let agent = started.agent.clone();
    let limit = agent.config().timeouts.handover;
    let deadline = Instant::now() + limit;
    if let Capture::Ebpf(interceptor) = &started.capture {
        interceptor.leave();
    }
    started.doors.leave();
    agent.life.drain(deadline);
    agent.shared.closing.begin();
    agent.stop.cancel();
    started.background.shutdown().await;
    let ended = async {
        if let Some(mut came) = came {
            came.ended().await;
        }
    };
    tokio::pin!(ended);
    let _told = Told(agent.config().run_dir.clone());
    tokio::select! {
        never = tell(&agent, deadline) => match never {},
        () = &mut ended => return tracing::info!("the last connection of this agent has ended"),
        () = tokio::time::sleep_until(deadline.into()) => {
            agent.observer.limit(Limit::Drain);
            tracing::warn!(left = agent.observer.connections_open(), "timeouts.handover is over");
        }
        () = signals.stop() => tracing::info!(left = agent.observer.connections_open(), "stops"),
    }
    // Between two exchanges at once, within one as long as at any stop.
    agent.shared.drain.cancel();
    let drain: Duration = agent.config().timeouts.drain;
    drop(timeout_at((Instant::now() + drain).into(), &mut ended).await);
    if let Some(peers) = &started.peers {
        // What is still open is cut; nothing is waited for.
        drop(timeout(LAST, peers.shown.client.close()).await);
    }
}

/// Tells of this agent, for `cheops status` of the next one, until it is dropped.
async fn tell(agent: &Agent, deadline: Instant) -> Infallible {
    const EVERY: Duration = Duration::from_secs(1);
    loop {
        let earlier = Earlier {
            pid: std::process::id(),
            connections: agent.observer.connections_open(),
            tunnels: agent.observer.tunnels_open(),
            seconds_left: deadline.saturating_duration_since(Instant::now()).as_secs_f64(),
        };
        if let Err(error) = earlier::tell(&agent.config().run_dir, &earlier) {
            tracing::debug!(%error, "this agent isn't shown");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What this agent told of itself goes when it ends.
struct Told(PathBuf);

impl Drop for Told {
    fn drop(&mut self) {
        if let Err(error) = earlier::forget(&self.0, std::process::id()) {
            tracing::debug!(%error, "what this agent told of itself stays");
        }
    }
}
