//! Takes everything away when the test's process ends, however it ends: a killed test, or one whose statics are never
//! dropped, leaves nothing of OpenStack behind.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

const SCRIPT: &str = include_str!("guard.sh");

/// A process outside the world that outlives this one by as long as it takes to clean up.
pub(super) struct Guard {
    process: Child,
}

impl Guard {
    /// Watches over a world, and over directories.
    pub(super) fn set(cgroup: &Path, world: &str, directories: &[PathBuf]) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).arg(cgroup).arg(world).args(directories);
        // Of a group of its own, so that Ctrl-C is not for it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { process: command.spawn().context("can't start the guard")? })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The world is gone by now, or has another guard.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
