//! One agent: its distance, its state, and what gets lost on the way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Accrual, Rtt};

/// From here on the silence of an agent that answered before is suspicious.
const SUSPECT: f64 = 1.0;
/// From here on it is dead.
const DEAD: f64 = 8.0;
/// Whatever is usual: one that is silent for so long is dead.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(8);
/// One that never answered is dead after so long: its link has to be made first, and what is lost is sent again.
const FIRST_ANSWER: Duration = Duration::from_secs(12);
/// What is known of another site is forgotten when nothing new came for so long.
pub const TTL: Duration = Duration::from_secs(30);

/// Between two probes of an agent that answers.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two of one that is silent for longer than [`SILENT`], until it is dead: what is lost by chance is then soon
/// told from what is gone.
const SHORT_PAUSE: Duration = Duration::from_millis(200);
const SILENT: Duration = Duration::from_millis(1200);

/// How an agent, or a site, stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Alive,
    /// It answered before, and is silent for longer than it usually is.
    Suspect,
    /// Not yet asked, or not for long enough.
    #[default]
    Unknown,
    Dead,
}

/// What the probes of one agent came to.
#[derive(Clone, Debug, Default)]
pub struct Track {
    rtt: Rtt,
    accrual: Accrual,
    /// When it was first asked.
    asked: Option<Duration>,
}

impl Track {
    /// A probe was sent.
    pub fn asked(&mut self, now: Duration) {
        self.asked.get_or_insert(now);
    }

    /// It answered: it lives.
    pub fn heard(&mut self, now: Duration) {
        self.asked(now);
        self.accrual.heard(now);
    }

    /// How long an answer took that came at `now`.
    pub fn took(&mut self, now: Duration, took: Duration) {
        self.rtt.sample(now, took);
    }

    /// How it stands at `now`.
    pub fn state(&self, now: Duration) -> State {
        let long = |since: Option<Duration>, limit| since.is_some_and(|since| now.saturating_sub(since) >= limit);
        let Some(phi) = self.accrual.phi(now) else {
            return if long(self.asked, FIRST_ANSWER) { State::Dead } else { State::Unknown };
        };
        if phi >= DEAD || long(self.accrual.last(), LONGEST_SILENCE) {
            State::Dead
        } else if phi >= SUSPECT {
            State::Suspect
        } else {
            State::Alive
        }
    }

    /// How long to wait with the next probe.
    pub fn pause(&self, now: Duration) -> Duration {
        let silent = self.age(now).is_some_and(|age| age > SILENT && age < LONGEST_SILENCE);
        if silent { SHORT_PAUSE } else { PAUSE }
    }

    /// How long ago it last answered.
    pub fn age(&self, now: Duration) -> Option<Duration> {
        self.accrual.last().map(|last| now.saturating_sub(last))
    }

    /// The round trips; none when they are too old to mean anything.
    pub fn rtt(&self, now: Duration) -> Option<&Rtt> {
        self.rtt.last().filter(|last| now.saturating_sub(*last) < TTL).map(|_| &self.rtt)
    }
}
