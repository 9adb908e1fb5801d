//! The endpoints' numbers. They are kept in the run directory and given to no other endpoint before the next boot: a
//! connection that was rewritten with one must never be read as another's, also over restarts of the agent.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cheops_ebpf_common::MAX_NUMBER;
use serde::{Deserialize, Serialize};

use super::KernelError;
use crate::metadata::EndpointId;

const FILE: &str = "endpoints.json";
const VERSION: u32 = 1;
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// The boot that the numbers hold for.
    boot: String,
    /// By address.
    numbers: BTreeMap<SocketAddr, u32>,
}

/// All numbers given since the machine started.
#[derive(Debug)]
pub struct Numbers {
    path: PathBuf,
    kept: Kept,
    by_number: BTreeMap<u32, SocketAddr>,
    changed: bool,
}

impl Numbers {
    /// Reads what was kept in `directory`; numbers of an earlier boot are void.
    ///
    /// # Errors
    /// When the file is there and can't be read: going on could give a number twice.
    pub fn load(directory: &Path) -> Result<Self, KernelError> {
        let path = directory.join(FILE);
        let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        Self::read(&path, boot).map_err(|error| KernelError::Numbers { path, error })
    }

    fn read(path: &Path, boot: String) -> io::Result<Self> {
        let kept = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice::<Kept>(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error),
        };
        let kept = if kept.version == VERSION && kept.boot == boot {
            kept
        } else {
            Kept { version: VERSION, boot, numbers: BTreeMap::new() }
        };
        let by_number = kept.numbers.iter().map(|(address, number)| (*number, *address)).collect();
        Ok(Self { path: path.to_path_buf(), kept, by_number, changed: false })
    }

    /// The address's number; a new one if it has none. None when all are used up.
    pub fn give(&mut self, address: SocketAddr) -> Option<EndpointId> {
        if let Some(number) = self.kept.numbers.get(&address) {
            return Some(EndpointId(*number));
        }
        let number = self.by_number.last_key_value().map_or(1, |(last, _)| last + 1);
        if number > MAX_NUMBER {
            return None;
        }
        self.kept.numbers.insert(address, number);
        self.by_number.insert(number, address);
        self.changed = true;
        Some(EndpointId(number))
    }

    /// The address of a number that was given.
    pub fn address(&self, number: u32) -> Option<SocketAddr> {
        self.by_number.get(&number).copied()
    }

    /// The number that the address was given.
    pub fn number(&self, address: SocketAddr) -> Option<EndpointId> {
        self.kept.numbers.get(&address).map(|number| EndpointId(*number))
    }

    /// Writes them down. Before a new number is used, so that none is given twice.
    ///
    /// # Errors
    /// When the run directory can't be written.
    pub fn keep(&mut self) -> Result<(), KernelError> {
        if !self.changed {
            return Ok(());
        }
        self.write().map_err(|error| KernelError::Numbers { path: self.path.clone(), error })?;
        self.changed = false;
        Ok(())
    }

    fn write(&self) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&serde_json::to_vec(&self.kept)?)?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn numbers_outlive_the_agent_and_are_never_given_twice() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut numbers = Numbers::load(directory.path()).expect("empty");
        let first = numbers.give(address("10.0.0.1:80"));
        assert_eq!(first, Some(EndpointId(1)));
        assert_eq!(numbers.give(address("[fd00::1]:80")), Some(EndpointId(2)));
        assert_eq!(numbers.give(address("10.0.0.1:80")), first);
        numbers.keep().expect("written");

        let mut again = Numbers::load(directory.path()).expect("kept");
        assert_eq!(again.address(2), Some(address("[fd00::1]:80")));
        assert_eq!(again.give(address("10.0.0.9:80")), Some(EndpointId(3)));
        assert_eq!(again.number(address("10.0.0.1:80")), first);
    }

    #[test]
    fn a_new_boot_begins_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(FILE);
        let mut numbers = Numbers::read(&path, "boot-1".into()).expect("empty");
        numbers.give(address("10.0.0.1:80"));
        numbers.keep().expect("written");
        assert_eq!(Numbers::read(&path, "boot-1".into()).expect("kept").address(1), Some(address("10.0.0.1:80")));
        assert_eq!(Numbers::read(&path, "boot-2".into()).expect("void").address(1), None);
    }

    #[test]
    fn a_broken_file_is_an_error_and_not_an_empty_one() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join(FILE), b"{").expect("written");
        let error = Numbers::load(directory.path()).expect_err("broken").to_string();
        assert!(error.contains(FILE), "{error}");
    }

    #[test]
    fn numbers_end_at_22_bits() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut numbers = Numbers::load(directory.path()).expect("empty");
        numbers.by_number.insert(MAX_NUMBER - 1, address("10.0.0.1:80"));
        assert_eq!(numbers.give(address("10.0.0.2:80")), Some(EndpointId(MAX_NUMBER)));
        assert_eq!(numbers.give(address("10.0.0.3:80")), None);
    }
}
