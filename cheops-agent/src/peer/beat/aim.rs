//! The probes of one agent: what was sent, and what came back.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use ring::hmac;

use super::{Beat, Key, LENGTH};
use crate::metadata::latency::Loss;

/// Probes that are waited for: an answer that is later than some ten seconds is none.
const WAITED_FOR: usize = 32;

/// Where datagrams for an agent go, and how they fare.
pub(in crate::peer) struct Aim {
    pub(in crate::peer) to: SocketAddr,
    id: u64,
    key: hmac::Key,
    number: u64,
    sent: VecDeque<(u64, Duration)>,
    /// Which of the probes were answered.
    pub(in crate::peer) answered: Loss,
    /// How many of how many probes came there, as the other says.
    pub(in crate::peer) came: (u32, u32),
    /// When the last answer came.
    pub(in crate::peer) last: Option<Duration>,
    /// The other says that it hears nothing of this agent.
    pub(in crate::peer) deaf: bool,
    /// When the next probe is due.
    pub(in crate::peer) due: Duration,
}

impl Aim {
    pub(in crate::peer) fn new(to: SocketAddr, key: &Key, now: Duration) -> Self {
        Self {
            to,
            id: key.id,
            key: key.mac(),
            number: 0,
            sent: VecDeque::new(),
            answered: Loss::default(),
            came: (0, 0),
            last: None,
            deaf: false,
            due: now,
        }
    }

    /// The key's number, by which answers find back.
    pub(in crate::peer) fn id(&self) -> u64 {
        self.id
    }

    /// The next probe, at the time `at`. `deaf`: nothing is heard of the other.
    pub(in crate::peer) fn probe(&mut self, at: Duration, deaf: bool) -> [u8; LENGTH] {
        self.number += 1;
        self.sent.push_back((self.number, at));
        if self.sent.len() > WAITED_FOR {
            self.sent.pop_front();
        }
        let beat = Beat { answer: false, deaf, came: 0, span: 0, key: self.id, number: self.number };
        beat.seal(&self.key)
    }

    /// A datagram under this key came: how long the answer took, if it is one that is waited for.
    pub(in crate::peer) fn answer(&mut self, bytes: &[u8], at: Duration, now: Duration) -> Option<Duration> {
        let beat = Beat::open(bytes, &self.key).filter(|beat| beat.answer)?;
        let place = self.sent.iter().position(|(number, _)| *number == beat.number)?;
        let (number, sent) = self.sent.remove(place)?;
        self.answered.came(number);
        self.came = (beat.came.into(), beat.span.into());
        self.deaf = beat.deaf;
        self.last = Some(now);
        Some(at.saturating_sub(sent))
    }
}

/// Which key a datagram is sealed with, before it is known whether it is.
pub(in crate::peer) fn key_of(bytes: &[u8]) -> Option<u64> {
    Beat::key_of(bytes)
}
