//! What the programs log: the rare and unexpected only, so looking once a second does.

use std::time::Duration;

use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

const EVERY: Duration = Duration::from_secs(1);

/// Reads the programs' log as long as it lives.
pub struct Reader(AbortHandle);

impl Reader {
    /// Starts reading, if the programs were built to log (`--features log`). None otherwise, and with a warning when the
    /// log can't be read: the programs work without.
    pub fn start(programs: &mut Ebpf) -> Option<Self> {
        programs.map("AYA_LOGS")?;
        let mut logger = match EbpfLogger::init(programs) {
            Ok(logger) => logger,
            Err(error) => {
                tracing::warn!("what the kernel programs log is lost: {error}");
                return None;
            }
        };
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                logger.flush();
            }
        });
        Some(Self(task.abort_handle()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}
