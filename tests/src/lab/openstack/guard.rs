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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lab::{cleaning, eventually, ip};

    #[test]
    fn what_a_killed_test_had_is_taken_away() -> anyhow::Result<()> {
        let name = format!("{}{}-guarded", cleaning::PREFIX, std::process::id());
        let cgroup = cleaning::cgroups()?.join(&name);
        std::fs::create_dir_all(cgroup.join("1-berlin"))?;
        let namespace = format!("{name}-1-berlin");
        ip(&["netns", "add", &namespace], "")?;
        let mut service = Command::new("sh");
        service.args(["-c", "echo $$ > $0/cgroup.procs && exec sleep 600"]).arg(cgroup.join("1-berlin"));
        let mut service = service.spawn()?;
        assert!(eventually(Duration::from_secs(20), || !cleaning::processes(&cgroup).is_empty()));
        let directory = tempfile::tempdir()?.keep();
        let mut guard = Guard::set(&cgroup, &name, std::slice::from_ref(&directory))?;
        // As it is when the process ends.
        drop(guard.process.stdin.take());
        let namespace = Path::new("/run/netns").join(namespace);
        let gone = || !cgroup.exists() && !directory.exists() && !namespace.exists();
        assert!(eventually(Duration::from_secs(20), gone));
        assert!(service.try_wait()?.is_some());
        Ok(())
    }
}
