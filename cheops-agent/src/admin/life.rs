//! Where the agent is in its life, and what it waits for. Depends on this host alone: other sites never make it unready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::observe::Observer;

/// What must hold before the agent is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The listeners for clients and peers accept.
    Listening,
    /// The kernel programs are attached.
    Attached,
    /// The last self-probe came back.
    Probed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Running,
    /// A successor takes over: nothing is changed meanwhile.
    HandingOver,
    /// SIGTERM: exchanges go on until then.
    Draining {
        until: Instant,
    },
}

/// The state that `readyz`, `status` and systemd see.
#[derive(Debug)]
pub struct Life {
    inner: Mutex<Inner>,
    ready: watch::Sender<bool>,
    observer: Arc<Observer>,
}

#[derive(Debug)]
struct Inner {
    /// Why each part doesn't hold; a part that holds isn't here.
    waiting: BTreeMap<Part, String>,
    phase: Phase,
}

impl Life {
    /// A life that waits for `parts`.
    pub fn new(parts: &[Part], observer: Arc<Observer>) -> Self {
        let waiting = parts.iter().map(|part| (*part, part.words().to_owned())).collect();
        observer.ready(parts.is_empty());
        let ready = watch::Sender::new(parts.is_empty());
        Self { inner: Mutex::new(Inner { waiting, phase: Phase::Running }), ready, observer }
    }

    /// A part holds now.
    pub fn holds(&self, part: Part) {
        self.change(|inner| {
            inner.waiting.remove(&part);
        });
    }

    /// A part doesn't hold, and why.
    pub fn fails(&self, part: Part, why: impl Into<String>) {
        let why = format!("{}: {}", part.words(), why.into());
        self.change(|inner| {
            inner.waiting.insert(part, why);
        });
    }

    /// A successor takes over, or doesn't after all.
    pub fn hand_over(&self, begun: bool) {
        self.change(|inner| inner.phase = if begun { Phase::HandingOver } else { Phase::Running });
    }

    /// The agent finishes its last exchanges.
    pub fn drain(&self, until: Instant) {
        self.change(|inner| inner.phase = Phase::Draining { until });
        self.observer.draining(true);
    }

    /// What the agent waits for; empty means ready.
    pub fn waiting(&self) -> Vec<String> {
        let inner = self.lock();
        let draining = matches!(inner.phase, Phase::Draining { .. }).then(|| "the agent is shutting down".to_owned());
        draining.into_iter().chain(inner.waiting.values().cloned()).collect()
    }

    /// Waits until the agent is ready.
    pub async fn is_ready(&self) {
        // The sender is here: it can't have gone.
        if self.ready.subscribe().wait_for(|ready| *ready).await.is_err() {}
    }

    /// Whether a part holds, or isn't needed.
    pub fn part(&self, part: Part) -> bool {
        !self.lock().waiting.contains_key(&part)
    }

    pub fn phase(&self) -> Phase {
        self.lock().phase
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.lock());
        let ready = self.waiting().is_empty();
        self.observer.ready(ready);
        self.ready.send_replace(ready);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn words(self) -> &'static str {
        match self {
            Part::Listening => "the listeners",
            Part::Attached => "the kernel programs",
            Part::Probed => "the self-probe",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_comes_and_goes_by_itself() {
        let life = Life::new(&[Part::Listening, Part::Probed], Observer::new());
        assert_eq!(life.waiting(), ["the listeners", "the self-probe"]);
        life.holds(Part::Listening);
        life.holds(Part::Probed);
        assert!(life.waiting().is_empty());
        life.fails(Part::Probed, "nothing came");
        assert_eq!(life.waiting(), ["the self-probe: nothing came"]);
        life.holds(Part::Probed);
        life.drain(Instant::now());
        assert_eq!(life.waiting(), ["the agent is shutting down"]);
    }
}
