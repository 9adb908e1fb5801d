//! Packets on their way, by the time at which they arrive.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::{Port, Way};
use crate::lab::lock;

pub(super) struct Late {
    due: Instant,
    /// Packets due at once arrive in the order in which they were sent.
    number: u64,
    pub(super) way: Arc<Way>,
    pub(super) to: Arc<Port>,
    pub(super) bytes: Box<[u8]>,
}

impl Late {
    pub(super) fn new(due: Instant, way: Arc<Way>, to: Arc<Port>, bytes: &[u8]) -> Self {
        Self { due, number: 0, way, to, bytes: bytes.into() }
    }

    fn key(&self) -> (Instant, u64) {
        (self.due, self.number)
    }
}

impl Ord for Late {
    /// The earliest is the greatest: the heap's top.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Late {}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    heap: BinaryHeap<Late>,
    pushed: u64,
    end: bool,
}

impl Queue {
    pub(super) fn push(&self, mut packet: Late) {
        let mut state = lock(&self.state);
        state.pushed += 1;
        packet.number = state.pushed;
        let earliest = state.heap.peek().is_none_or(|first| packet.due < first.due);
        state.heap.push(packet);
        drop(state);
        if earliest {
            self.changed.notify_one();
        }
    }

    /// Waits until a packet is due; nothing when the queue has ended.
    pub(super) fn next(&self) -> Option<Late> {
        let mut state = lock(&self.state);
        loop {
            if state.end {
                return None;
            }
            let wait = state.heap.peek().map(|first| first.due.saturating_duration_since(Instant::now()));
            match wait {
                Some(wait) if wait.is_zero() => return state.heap.pop(),
                Some(wait) => {
                    let waited = self.changed.wait_timeout(state, wait);
                    state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
                }
                None => state = self.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner()),
            }
        }
    }

    pub(super) fn end(&self) {
        lock(&self.state).end = true;
        self.changed.notify_all();
    }
}
