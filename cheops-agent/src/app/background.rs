//! Tasks that run as long as the agent: probes and the watchdog.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::notify;
use crate::act::Shared;
use crate::admin::agent::Probe;
use crate::admin::life::Part;
use crate::admin::{Agent, Phase};
use crate::config::Config;
use crate::kernel::Interceptor;
use crate::workflow::Keep;

/// While a probe doesn't come back, it is repeated this soon.
const AGAIN: Duration = Duration::from_secs(1);

/// One self-probe, and what it means for readiness.
pub async fn probe(agent: &Agent, interceptor: &Interceptor) -> bool {
    let outcome = interceptor.probe().await;
    agent.observer.probe(outcome.is_ok());
    let trouble = outcome.as_ref().err().map(ToString::to_string);
    match &trouble {
        None => agent.life.holds(Part::Probed),
        Some(trouble) => {
            tracing::error!(%trouble, "the self-probe was not seen: connections are not taken");
            agent.life.fails(Part::Probed, trouble.clone());
        }
    }
    agent.known().probe = Some(Probe { at: Instant::now(), trouble });
    outcome.is_ok()
}

/// Takes up the ids of the scoped requests that the agent before this one had. Without them it runs all the same.
pub fn keep_workflows(config: &Config, shared: &Shared) {
    let directory = config.run_dir.join("workflows");
    if let Err(error) = shared.workflows.open(&directory, Keep::of(config)) {
        tracing::error!(
            %error, directory = %directory.display(),
            "the ids of scoped requests can't be kept: a restart will forget which calls they cause"
        );
    }
}

/// Looks after the ids of scoped requests, as long as another process of this agent serves some, too.
pub async fn workflows(shared: Arc<Shared>) {
    const EVERY: Duration = Duration::from_millis(500);
    loop {
        tokio::time::sleep(EVERY).await;
        shared.workflows.tend(Keep::of(&shared.config.load()));
    }
}

/// Probes for ever.
pub async fn probes(agent: Arc<Agent>, interceptor: Arc<Interceptor>) {
    let mut seen = agent.life.part(Part::Probed);
    loop {
        tokio::time::sleep(if seen { agent.config().intercept.probe_every } else { AGAIN }).await;
        if agent.life.phase() == Phase::Running {
            seen = probe(&agent, &interceptor).await;
        }
    }
}

/// Tells systemd that the agent lives, as long as the data path does: its runtime must run a fresh task in time, and
/// its accept loop must not have ended by itself.
pub async fn watchdog(agent: Arc<Agent>, data: Handle, accepts: impl Fn() -> bool + Send + Sync) {
    let watched = notify::watchdog();
    let every = watched.map_or(Duration::from_secs(10), |limit| limit / 3);
    let mut told = String::new();
    // At once: successors that follow each other quickly would else leave systemd without a sign for too long.
    let mut signs = tokio::time::interval(every);
    signs.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        signs.tick().await;
        let runs = timeout(every, data.spawn(async {})).await.is_ok();
        let accepts = agent.life.phase() != Phase::Running || accepts();
        if runs && accepts {
            if watched.is_some() {
                notify::alive();
            }
            let line = line(&agent);
            if line != told {
                notify::status(&line);
                told = line;
            }
        } else {
            tracing::error!(runs, accepts, "the data path is stuck");
        }
    }
}

fn line(agent: &Agent) -> String {
    let waiting = agent.life.waiting();
    let state = if waiting.is_empty() { "ready".to_owned() } else { format!("waits for {}", waiting.join("; ")) };
    format!("site {}, {state}, {} connections", agent.config().site, agent.observer.connections_open())
}
