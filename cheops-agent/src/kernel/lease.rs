//! The lease: as long as it is renewed the programs give connections to the agent.
//!
//! It is renewed by a task of the runtime and not by a thread of its own: an agent whose runtime hangs must not go on
//! taking connections that it never accepts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aya::maps::{Array, MapData};
use cheops_ebpf_common::Lease;
use nix::time::{ClockId, clock_gettime};
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::{KernelError, map};

/// How often it is renewed.
const EVERY: Duration = Duration::from_millis(100);
/// How long after its renewal it is fresh: many missed renewals, for a machine that is short of processors.
const LASTS: Duration = Duration::from_secs(2);
/// The longest that it can be held over a planned restart.
pub const LONGEST: Duration = Duration::from_secs(5);

pub type LeaseMap = Array<MapData, Lease>;

/// The lease and the task that renews it, which ends with it.
pub struct Renewal {
    lease: Arc<Mutex<LeaseMap>>,
    task: AbortHandle,
}

impl Renewal {
    /// Renews the lease now and from now on.
    ///
    /// # Errors
    /// When the map can't be written.
    pub fn start(lease: LeaseMap) -> Result<Self, KernelError> {
        let lease = Arc::new(Mutex::new(lease));
        renew(&lease, LASTS)?;
        let renewed = lease.clone();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if let Err(error) = renew(&renewed, LASTS) {
                    tracing::error!("the lease isn't renewed, so connections pass the agent by: {error}");
                }
            }
        });
        Ok(Self { lease, task: task.abort_handle() })
    }

    /// Renews it no more, and leaves it as it is.
    pub fn leave(&self) {
        self.task.abort();
    }

    /// Renews it for the last time, for `time` (at most [`LONGEST`]). With zero it is stale at once.
    ///
    /// # Errors
    /// When the map can't be written.
    pub fn hold(&self, time: Duration) -> Result<(), KernelError> {
        self.task.abort();
        renew(&self.lease, time.min(LONGEST))
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn renew(lease: &Mutex<LeaseMap>, time: Duration) -> Result<(), KernelError> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_err(|error| KernelError::System { what: "can't read the clock", error: error.into() })?;
    let until = Duration::from(now).saturating_add(time);
    let until = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX);
    lease.lock().unwrap_or_else(PoisonError::into_inner).set(0, Lease { until }, 0).map_err(map("LEASE"))
}
