//! The records on disk, in the run directory: what was live when an agent ended, or was killed, is known to the one that
//! comes after it; and while an agent that was replaced serves what it still has, both know what the other one's requests
//! caused.
//!
//! Each process appends to a file of its own, which it holds a lock on, before a request is sent; the last line of a record
//! counts. The others' files are read as they grow; whoever finds one without a lock takes it over and removes it. It is in
//! the page cache: a crash of the agent takes nothing with it, a crash of the host everything, but then nothing runs either.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::follow::Follow;
use super::line::{Line, VERSION};

/// A file is written anew when it has grown by so much, and by more than it had then. Bytes.
const SLACK: u64 = 1 << 20;
/// After a write that failed.
const AGAIN: Duration = Duration::from_secs(30);
/// What files are called.
const EXTENSION: &str = "log";

/// This process's file, and those of others.
#[derive(Debug)]
pub(super) struct Journal {
    directory: PathBuf,
    path: PathBuf,
    own: Option<Own>,
    failed: Option<Instant>,
    others: Vec<Follow>,
}

#[derive(Debug)]
struct Own {
    file: File,
    bytes: u64,
    /// When it was last written anew.
    anew: u64,
}

impl Journal {
    /// In that directory, which is made if need be. Nothing is written yet.
    ///
    /// # Errors
    /// When it can't be made.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let name = format!("{}-{:08x}.{EXTENSION}", std::process::id(), rand::random::<u32>());
        let path = directory.join(name);
        Ok(Self { directory: directory.to_owned(), path, own: None, failed: None, others: Vec::new() })
    }

    /// Adds lines. Where they can't be written, the log says so once, and it is tried again later.
    pub(super) fn append(&mut self, lines: &[Line]) {
        let Some(own) = &mut self.own else { return };
        if let Err(error) = own.append(lines) {
            self.fail(&error);
        }
    }

    /// Whether it is time to write it anew: it has grown, or it could not be written.
    pub(super) fn is_due(&self) -> bool {
        match (&self.own, self.failed) {
            (Some(own), _) => own.bytes > own.anew.saturating_mul(2) + SLACK,
            (None, Some(failed)) => failed.elapsed() >= AGAIN,
            (None, None) => true,
        }
    }

    /// Writes it anew.
    pub(super) fn rewrite(&mut self, lines: &[Line]) {
        match self.written(lines) {
            Ok(own) => {
                if self.failed.take().is_some() {
                    tracing::info!(file = %self.path.display(), "the ids of scoped requests are written down again");
                }
                self.own = Some(own);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn written(&self, lines: &[Line]) -> io::Result<Own> {
        let fresh = self.path.with_extension("new");
        drop(fs::remove_file(&fresh));
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&fresh)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let mut own = Own { file, bytes: 0, anew: 0 };
        own.write(format!("{{\"cheops-workflows\":{VERSION}}}\n").as_bytes())?;
        for some in lines.chunks(256) {
            own.append(some)?;
        }
        own.anew = own.bytes;
        fs::rename(&fresh, &self.path)?;
        Ok(own)
    }

    fn fail(&mut self, error: &io::Error) {
        if self.failed.is_none() {
            tracing::error!(
                %error, file = %self.path.display(),
                "the ids of scoped requests can't be written down: a restart would forget which calls they cause"
            );
        }
        (self.own, self.failed) = (None, Some(Instant::now()));
        drop(fs::remove_file(&self.path));
    }

    /// Reads what others have written since the last time. The files of those who have ended, which are to be [forgotten](Self::forget) once this process has written down what they said.
    pub(super) fn news(&mut self, mut each: impl FnMut(&Line)) -> Vec<PathBuf> {
        self.discover();
        let mut ended = Vec::new();
        self.others.retain_mut(|other| {
            let over = other.read(&mut each);
            if over {
                ended.push(other.path.clone());
            }
            !over
        });
        ended
    }

    /// Removes others' files.
    pub(super) fn forget(&self, ended: &[PathBuf]) {
        for path in ended {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!(file = %path.display(), %error, "it stays");
            }
        }
    }

    /// What is still open of others, whose end isn't known.
    pub(super) fn still_open(&self, mut each: impl FnMut(&Line)) {
        self.others.iter().for_each(|other| other.still_open(&mut each));
    }

    /// Whether another process writes.
    pub(super) fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    fn discover(&mut self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_one = path.extension().is_some_and(|extension| extension == EXTENSION) && path != self.path;
            if !is_one || self.others.iter().any(|other| other.path == path) {
                continue;
            }
            match Follow::open(&path) {
                Ok(other) => self.others.push(other),
                Err(error) => tracing::warn!(file = %path.display(), %error, "an agent's ids can't be read"),
            }
        }
    }
}

impl Own {
    fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut text = Vec::with_capacity(lines.len() * 384);
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        self.write(&text)
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.file.write_all(text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }
}
