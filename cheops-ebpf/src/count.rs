//! Counting, and logging of what should never happen.

use cheops_ebpf_common::Count;

use crate::maps::COUNTERS;

/// Counts one.
#[inline(always)]
pub fn count(what: Count) {
    if let Some(counter) = COUNTERS.get_ptr_mut(what as u32) {
        // SAFETY: the slot is this CPU's own. A program that is preempted here by another loses at most one count.
        unsafe { *counter += 1 };
    }
}

/// Logs, in builds with the feature `log`. Others only count: a program that logs loads only with CAP_PERFMON, which an
/// agent on a real host does without.
macro_rules! log {
    ($ctx:expr, $text:literal) => {
        #[cfg(feature = "log")]
        aya_log_ebpf::warn!($ctx, $text);
    };
}
pub(crate) use log;
