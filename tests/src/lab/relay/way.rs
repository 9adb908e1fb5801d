//! One direction between two sites: its weather, and what passed.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lab::lock;

/// Bytes that may be on their way at once; more are lost, as in a router.
const BOUND: usize = 64 << 20;

/// What happens to packets in one direction. Packets are never put out of order: what reordering does to TCP is not
/// what these tests are about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// How long each packet takes.
    pub delay: Duration,
    /// What is added at most, chosen for each packet.
    pub jitter: Duration,
    /// The part of packets that are lost: 0 to 1.
    pub loss: f64,
    /// Bytes a second; unlimited when absent.
    pub rate: Option<u64>,
    /// Nothing passes, and what was on its way is lost.
    pub cut: bool,
}

/// What passed in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    pub packets: u64,
    pub bytes: u64,
    /// Packets lost by chance, by a cut, or since too many were on their way.
    pub lost: u64,
}

pub(in crate::lab) enum Verdict {
    Lost,
    Now,
    At(Instant),
}

#[derive(Default)]
pub(in crate::lab) struct Way(Mutex<State>);

#[derive(Default)]
struct State {
    weather: Weather,
    carried: Carried,
    queued_packets: usize,
    queued_bytes: usize,
    /// When the last packet arrives.
    last: Option<Instant>,
    /// When the last packet's last byte is on the wire.
    sent: Option<Instant>,
}

impl Way {
    pub(in crate::lab) fn change(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut lock(&self.0).weather);
    }

    pub(in crate::lab) fn weather(&self) -> Weather {
        lock(&self.0).weather
    }

    pub(in crate::lab) fn carried(&self) -> Carried {
        lock(&self.0).carried
    }

    /// What becomes of a packet that is sent now.
    pub(super) fn judge(&self, now: Instant, length: usize) -> Verdict {
        let mut state = lock(&self.0);
        let weather = state.weather;
        let lost = weather.cut || (weather.loss > 0.0 && rand::random::<f64>() < weather.loss);
        if lost || state.queued_bytes + length > BOUND {
            state.carried.lost += 1;
            return Verdict::Lost;
        }
        let sent = match weather.rate {
            Some(rate) => {
                state.sent.map_or(now, |sent| sent.max(now)) + Duration::from_secs_f64(length as f64 / rate as f64)
            }
            None => now,
        };
        state.sent = Some(sent);
        let arrives = sent + weather.delay + weather.jitter.mul_f64(rand::random::<f64>());
        let due = state.last.map_or(arrives, |last| last.max(arrives));
        state.last = Some(due);
        state.queued_packets += 1;
        state.queued_bytes += length;
        if due <= now && state.queued_packets == 1 { Verdict::Now } else { Verdict::At(due) }
    }

    /// A packet's way has ended: `deliver` it, unless the way was cut meanwhile.
    pub(super) fn arrive(&self, length: usize, deliver: impl FnOnce() -> bool) {
        let cut = lock(&self.0).weather.cut;
        let taken = !cut && deliver();
        let mut state = lock(&self.0);
        state.queued_packets = state.queued_packets.saturating_sub(1);
        state.queued_bytes = state.queued_bytes.saturating_sub(length);
        if taken {
            state.carried.packets += 1;
            state.carried.bytes += length as u64;
        } else {
            state.carried.lost += 1;
        }
    }
}
