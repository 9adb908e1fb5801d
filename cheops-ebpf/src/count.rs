//! Counting.

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
