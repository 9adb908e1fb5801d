//! Sessions on disk, in the run directory: they outlive a restart of the agent, but no reboot, as cgroups do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Of the records' format. A record of another version is not understood, and its session has no scope any more.
const VERSION: u32 = 1;

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    version: u32,
    pub session: u16,
    /// As it was written. None: it is lost, and the session's connections are refused.
    pub scope: Option<String>,
    pub cgroup: PathBuf,
    /// The group's number, which tells it from a later one of the same name.
    pub cgroup_id: u64,
    pub uid: u32,
    pub pid: i32,
    /// Unix time, seconds.
    pub since: u64,
}

impl Record {
    pub fn new(session: u16, scope: Option<&str>, cgroup: &Path, cgroup_id: u64, uid: u32, pid: i32) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let since = now.map(|since| since.as_secs()).unwrap_or_default();
        Self {
            version: VERSION,
            session,
            scope: scope.map(str::to_owned),
            cgroup: cgroup.to_path_buf(),
            cgroup_id,
            uid,
            pid,
            since,
        }
    }
}

/// The directory of the records.
#[derive(Debug)]
pub struct Records {
    directory: PathBuf,
}

impl Records {
    /// Opens or makes the directory `sessions` in the run directory.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn open(run_dir: &Path) -> io::Result<Self> {
        let directory = run_dir.join("sessions");
        fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    /// All records that can be read; what can't be is removed and told.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn load(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(record = %path.display(), %error, "a session's record can't be read");
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(records)
    }

    /// Writes a record whole or not at all.
    ///
    /// # Errors
    /// When the run directory can't be written.
    pub fn store(&self, record: &Record) -> io::Result<()> {
        self.write(&format!("{}.json", record.session), &serde_json::to_vec(record)?)
    }

    /// Removes a session's record if there is one.
    ///
    /// # Errors
    /// When it is there and can't be removed.
    pub fn remove(&self, session: u16) -> io::Result<()> {
        match fs::remove_file(self.directory.join(format!("{session}.json"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// The number that was given last; 0 before the first.
    pub fn last(&self) -> u16 {
        let text = fs::read_to_string(self.directory.join("last")).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    }

    /// Remembers the number that was given last.
    ///
    /// # Errors
    /// When the run directory can't be written.
    pub fn set_last(&self, session: u16) -> io::Result<()> {
        self.write("last", session.to_string().as_bytes())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let fresh = self.directory.join(format!("{name}.new"));
        fs::write(&fresh, bytes)?;
        fs::rename(&fresh, self.directory.join(name))
    }
}

fn read(path: &Path) -> io::Result<Record> {
    let record: Record = serde_json::from_slice(&fs::read(path)?)?;
    if record.version == VERSION {
        return Ok(record);
    }
    Err(io::Error::other(format!("version {} is not understood", record.version)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        let run = tempfile::tempdir().expect("a directory");
        let records = Records::open(run.path()).expect("records");
        assert_eq!(records.last(), 0);
        let record = Record::new(7, Some("{Nova: Paris}"), Path::new("/sys/fs/cgroup/a"), 42, 1000, 4711);
        records.store(&record).expect("stored");
        records.set_last(7).expect("stored");
        let again = Records::open(run.path()).expect("records");
        assert_eq!(again.load().expect("loaded"), [record]);
        assert_eq!(again.last(), 7);
        again.remove(7).expect("removed");
        again.remove(7).expect("still removed");
        assert_eq!(again.load().expect("loaded"), []);
    }

    /// A record as the first version wrote it.
    #[test]
    fn version_1_is_read() {
        let run = tempfile::tempdir().expect("a directory");
        let records = Records::open(run.path()).expect("records");
        let text = r#"{"version":1,"session":3,"scope":"Paris","cgroup":"/c","cgroup-id":9,"uid":0,"pid":1,"since":5}"#;
        fs::write(run.path().join("sessions/3.json"), text).expect("written");
        let loaded = records.load().expect("loaded");
        assert_eq!((loaded[0].session, loaded[0].scope.as_deref(), loaded[0].since), (3, Some("Paris"), 5));
    }

    #[test]
    fn what_is_not_understood_is_dropped() {
        let run = tempfile::tempdir().expect("a directory");
        let records = Records::open(run.path()).expect("records");
        for (name, text) in [("1.json", "{"), ("2.json", r#"{"version":2,"session":2}"#), ("3.json.new", "half")] {
            fs::write(run.path().join("sessions").join(name), text).expect("written");
        }
        assert_eq!(records.load().expect("loaded"), []);
        assert!(!run.path().join("sessions/1.json").exists());
    }
}
