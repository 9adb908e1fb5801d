//! What is known of one agent, or of a site by its nearest agent.

use std::time::Duration;

use crate::metadata::latency::State;
use crate::metadata::record::CertificateFacts;
use crate::names::HostName;

/// How a peer stands.
pub use crate::metadata::latency::State as PeerState;

/// What is known of one agent.
#[derive(Clone, Debug, Default)]
pub struct PeerStatus {
    pub state: PeerState,
    /// The least round trip of the last seconds: the distance.
    pub rtt_min: Option<Duration>,
    /// The usual one.
    pub rtt: Option<Duration>,
    /// How much one round trip differs from the one before.
    pub jitter: Option<Duration>,
    /// The part of the probes that were not answered: 0 to 1. Unknown where datagrams don't pass.
    pub loss: Option<f64>,
    /// The part of this agent's probes that didn't get there, as the other says.
    pub loss_out: Option<f64>,
    /// The part of the other's probes that didn't get here.
    pub loss_in: Option<f64>,
    /// Since it last answered.
    pub age: Option<Duration>,
    /// Since one of its site's own probes last came here.
    pub heard: Option<Duration>,
    /// Its site says that it hears nothing of this one.
    pub deaf: bool,
    /// It answers nothing here, and others say that it lives, later than it fell silent.
    pub lives_elsewhere: bool,
    /// It isn't probed: how old the word is by which its state is known.
    pub hearsay: Option<Duration>,
    pub host: Option<HostName>,
    pub version: Option<String>,
    /// Why it doesn't answer.
    pub trouble: Option<String>,
    /// Of the certificate that it shows.
    pub certificate: Option<CertificateFacts>,
}

/// A probe of the other's that is older says nothing about now.
const HEARS: Duration = Duration::from_secs(3);

impl PeerStatus {
    /// Whether the other site's probes come here.
    pub fn hears(&self) -> bool {
        self.heard.is_some_and(|heard| heard < HEARS)
    }

    /// Whether only one direction works, in words.
    pub fn one_way(&self) -> Option<&'static str> {
        match (self.state, self.hears(), self.deaf) {
            (State::Dead | State::Suspect, true, true) => {
                Some("one way is cut: its probes come here, and it hears nothing of this site")
            }
            (State::Dead | State::Suspect, true, false) => Some("its probes come here, but it answers none of ours"),
            (State::Dead | State::Suspect, false, _) if self.lives_elsewhere => {
                Some("others reach it, and it lives: only the way between it and this site is cut")
            }
            (State::Alive, _, true) => Some("it answers, but its own probes of this site get no answer"),
            _ => None,
        }
    }
}
