//! A program that the bench runs: started, waited for, and ended when it is dropped.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use cheops_tests::lab::{Host, eventually};
use nix::sys::resource::{Resource, getrlimit};

/// A running program.
pub struct Program(Child);

impl Program {
    /// Starts it, and waits until it listens at `at`. What it says goes into `log`.
    pub fn start(host: &Host, command: &mut Command, log: &Path, at: SocketAddr) -> anyhow::Result<Self> {
        let sink = File::create(log).with_context(|| format!("can't write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(sink.try_clone()?).stderr(sink);
        let mut program = Self(command.spawn().with_context(|| format!("can't start {command:?}"))?);
        if !eventually(Duration::from_secs(10), || host.connect(at).is_ok()) {
            let said = fs::read_to_string(log).unwrap_or_default();
            bail!("nothing listens at {at} ({:?}); {}: {said}", program.0.try_wait(), log.display());
        }
        Ok(program)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// How many descriptors each program may have.
pub fn descriptors() -> anyhow::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}

/// Writes a program's file with these names replaced.
pub fn write(folder: &Path, name: &str, text: &str, replace: &[(&str, String)]) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let text = replace.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
    Ok(path)
}
