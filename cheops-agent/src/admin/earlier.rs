//! Agents that have handed on and finish what they had. Each tells of itself by a file in the run directory, since the
//! agent that answers is another process.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const DIRECTORY: &str = "earlier";

/// One such agent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Earlier {
    pub pid: u32,
    /// Connections that it still has.
    pub connections: u64,
    /// Those of them that are tunnels.
    pub tunnels: u64,
    /// Until `timeouts.handover`.
    pub seconds_left: f64,
}

fn path(run_dir: &Path, pid: u32) -> PathBuf {
    run_dir.join(DIRECTORY).join(format!("{pid}.json"))
}

/// Tells of this process, instead of what was told before.
///
/// # Errors
/// When the file can't be written.
pub fn tell(run_dir: &Path, earlier: &Earlier) -> io::Result<()> {
    let path = path(run_dir, earlier.pid);
    std::fs::create_dir_all(run_dir.join(DIRECTORY))?;
    // Whole or not at all: it is read at any moment.
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(earlier)?)?;
    std::fs::rename(new, path)
}

/// This process ends.
///
/// # Errors
/// When there is a file and it can't be removed.
pub fn forget(run_dir: &Path, pid: u32) -> io::Result<()> {
    match std::fs::remove_file(path(run_dir, pid)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// All that live. What one left that was killed is removed.
pub fn all(run_dir: &Path) -> Vec<Earlier> {
    let files = std::fs::read_dir(run_dir.join(DIRECTORY)).into_iter().flatten().flatten();
    let told = files.filter_map(|file| serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok());
    let (live, dead): (Vec<Earlier>, Vec<Earlier>) =
        told.partition(|earlier: &Earlier| Path::new("/proc").join(earlier.pid.to_string()).exists());
    for earlier in dead {
        if let Err(error) = forget(run_dir, earlier.pid) {
            tracing::debug!(%error, "what an ended agent told of itself stays");
        }
    }
    live
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_live_are_shown_until_they_end() {
        let run_dir = tempfile::tempdir().expect("a directory");
        let own = Earlier { pid: std::process::id(), connections: 3, tunnels: 1, seconds_left: 2.5 };
        // Above the largest number that a process can have.
        let dead = Earlier { pid: u32::MAX, ..own.clone() };
        assert!(all(run_dir.path()).is_empty());
        for earlier in [&own, &dead, &own] {
            tell(run_dir.path(), earlier).expect("written");
        }
        std::fs::write(run_dir.path().join(DIRECTORY).join("7.json"), "rubbish").expect("written");
        assert_eq!(all(run_dir.path()), std::slice::from_ref(&own));
        assert!(!path(run_dir.path(), dead.pid).exists(), "removed");
        forget(run_dir.path(), own.pid).expect("removed");
        forget(run_dir.path(), own.pid).expect("it is gone already");
        assert!(all(run_dir.path()).is_empty());
    }
}
