//! Another process's records, read as it writes them down.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Deserialize;

use super::line::{Key, Line, VERSION};

/// More of a file is not read. Bytes.
const LONGEST: u64 = 1 << 30;

/// The file of another process, which may still run.
#[derive(Debug)]
pub(super) struct Follow {
    pub(super) path: PathBuf,
    file: File,
    inode: u64,
    /// Whether its first line was understood; None before it was read.
    understood: Option<bool>,
    /// The beginning of a line.
    rest: Vec<u8>,
    /// Of which its process has said no end.
    open: HashMap<Key, Line>,
    /// It was said that some of it isn't readable.
    told: bool,
}

/// The first line.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "cheops-workflows")]
    version: u32,
}

impl Follow {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let inode = file.metadata()?.ino();
        let path = path.to_owned();
        Ok(Self { path, file, inode, understood: None, rest: Vec::new(), open: HashMap::new(), told: false })
    }

    /// Reads what is new. Whether its process has ended; then also what it said no end of, once more.
    pub(super) fn read(&mut self, each: &mut impl FnMut(&Line)) -> bool {
        // In this order: what is written after the look at the lock is written by nobody.
        let over = self.is_over();
        let mut lines = self.lines();
        if self.is_replaced() {
            match Self::open(&self.path) {
                Ok(anew) => {
                    *self = Self { told: self.told, ..anew };
                    lines.extend(self.lines());
                }
                Err(error) => tracing::debug!(file = %self.path.display(), %error, "it is gone"),
            }
        }
        // What was said of a record last counts.
        let last: HashMap<Key, Line> = lines.into_iter().map(|line| (line.key(), line)).collect();
        for (key, line) in last {
            each(&line);
            match line.until {
                Some(_) => drop(self.open.remove(&key)),
                None => drop(self.open.insert(key, line)),
            }
        }
        if over {
            self.still_open(each);
        }
        over
    }

    /// What its process said no end of.
    pub(super) fn still_open(&self, each: &mut impl FnMut(&Line)) {
        self.open.values().for_each(each);
    }

    /// Nobody holds the lock on the file that has this name now.
    fn is_over(&self) -> bool {
        let Ok(file) = File::open(&self.path) else { return true };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return false;
        }
        // Its process may have put another in its place just now.
        let inode = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|metadata| metadata.ino());
        inode(file.metadata()) == inode(fs::metadata(&self.path))
    }

    fn is_replaced(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.ino() != self.inode)
    }

    /// The whole lines that came since the last time.
    fn lines(&mut self) -> Vec<Line> {
        let read = (&self.file).take(LONGEST).read_to_end(&mut self.rest);
        if let Err(error) = read {
            self.tell(&error);
        }
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
        let behind = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, behind);
        let mut lines = Vec::new();
        for text in whole.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
            match self.understood {
                Some(true) => match serde_json::from_slice(text) {
                    Ok(line) => lines.push(line),
                    Err(error) => self.tell(&error),
                },
                Some(false) => {}
                None => {
                    let header = serde_json::from_slice::<Header>(text);
                    self.understood = Some(header.as_ref().is_ok_and(|header| header.version == VERSION));
                    match header {
                        Err(error) => self.tell(&error),
                        Ok(header) if header.version != VERSION => {
                            self.tell(&format!("its version is {}", header.version))
                        }
                        Ok(_) => {}
                    }
                }
            }
        }
        lines
    }

    fn tell(&mut self, error: &dyn std::fmt::Display) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                file = %self.path.display(), %error,
                "ids of scoped requests that an agent wrote down can't be read; calls that they cause may be taken for local"
            );
        }
    }
}
