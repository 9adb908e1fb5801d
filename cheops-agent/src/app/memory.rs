//! Memory that a load took is given back once it is over. The C library keeps pages that hold nothing any more as long as
//! something lies behind them.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio::time::sleep;

use crate::kernel;

/// How often it is looked whether the agent has become calm.
const LOOK: Duration = Duration::from_secs(2);
/// Processor time in that time that is no load: 2 %.
const CALM: Duration = Duration::from_millis(40);
/// Processor time of a load that may have left something.
const WORK: Duration = Duration::from_millis(500);

/// Gives memory back whenever the agent becomes calm, for ever.
pub async fn give_back() {
    let (mut calm, mut before) = (Calm::default(), used());
    loop {
        sleep(LOOK).await;
        let now = used();
        if calm.after(now.saturating_sub(before)) {
            let something = kernel::give_back_memory();
            tracing::debug!(something, "memory was given back");
        }
        before = now;
    }
}

/// Whether there was a load, and whether it is over.
#[derive(Debug, Default)]
struct Calm {
    worked: Duration,
}

impl Calm {
    /// After a while in which the agent used so much processor time: whether this ends a load.
    fn after(&mut self, used: Duration) -> bool {
        self.worked += used;
        let over = used <= CALM && self.worked >= WORK;
        if over {
            self.worked = Duration::ZERO;
        }
        over
    }
}

/// The process's processor time.
fn used() -> Duration {
    let micros = |time: nix::sys::time::TimeVal| u64::try_from(time.num_microseconds()).unwrap_or_default();
    let usage = getrusage(UsageWho::RUSAGE_SELF);
    Duration::from_micros(usage.map_or(0, |usage| micros(usage.user_time()) + micros(usage.system_time())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_ends_once() {
        let mut calm = Calm::default();
        let mut after = |millis| calm.after(Duration::from_millis(millis));
        assert!(!after(10), "nothing was done");
        assert!(!after(2000) && !after(2000), "it goes on");
        assert!(after(20));
        assert!(!after(20) && !after(0), "once");
        assert!(!after(400) && !after(10), "too little to look");
        assert!(!after(41) && after(39) && !after(0), "what was little adds up");
    }

    #[test]
    fn work_takes_processor_time_and_memory_goes_back() {
        let before = used();
        let mut pieces: Vec<Vec<u8>> = (0..20_000).map(|number| vec![number as u8; 1000]).collect();
        // One small piece in a hundred stays: the C library can't simply lower the heap's end.
        let mut number = 0;
        pieces.retain(|_| {
            number += 1;
            number % 100 == 0
        });
        assert!(kernel::give_back_memory(), "nothing went back");
        assert!(used() > before && pieces.len() == 200);
    }
}
