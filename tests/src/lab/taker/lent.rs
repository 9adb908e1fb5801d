//! Descriptors that one process lets another one take.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use anyhow::Context;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use serde::{Deserialize, Serialize};

/// Names and numbers of descriptors that a process holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lent {
    process: u32,
    descriptors: Vec<(String, RawFd)>,
}

impl Lent {
    /// This process's, which are to stay open until they were fetched.
    pub(super) fn new(descriptors: &[(String, OwnedFd)]) -> Self {
        let numbers = descriptors.iter().map(|(name, descriptor)| (name.clone(), descriptor.as_raw_fd()));
        Self { process: std::process::id(), descriptors: numbers.collect() }
    }

    /// Copies of them.
    pub(super) fn fetch(&self) -> anyhow::Result<Vec<(String, OwnedFd)>> {
        if self.descriptors.is_empty() {
            return Ok(Vec::new());
        }
        let pid = Pid::from_raw(i32::try_from(self.process)?).context("no process lends them")?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let fetch = |(name, number): &(String, RawFd)| {
            Ok((name.clone(), pidfd_getfd(&process, *number, PidfdGetfdFlags::empty())?))
        };
        self.descriptors.iter().map(fetch).collect()
    }
}
