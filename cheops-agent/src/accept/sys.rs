//! Descriptors that this process was started with.

#![allow(unsafe_code, reason = "descriptors that come by their numbers; it is said why that is sound")]

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_setfd};

/// The descriptors that systemd passed to this process, with their names (sd_listen_fds(3)). Programs that this process
/// starts don't get them. Nothing the second time.
pub fn passed() -> Vec<(String, OwnedFd)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Vec::new();
    }
    let passed = match sd_notify::listen_fds_with_names() {
        Ok(passed) => passed,
        Err(error) => {
            tracing::warn!(%error, "what systemd kept can't be taken up");
            return Vec::new();
        }
    };
    let owned = passed.map(|(number, name)| {
        // SAFETY: systemd opened these for this very process (LISTEN_PID was looked at), and they are taken only once.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        if let Err(error) = fcntl_setfd(&descriptor, FdFlags::CLOEXEC) {
            tracing::warn!(%error, name, "a passed descriptor is not one");
        }
        (name, descriptor)
    });
    owned.collect()
}
