//! The file in which the copy outlives the agent: `metadata.redb` in the state directory.
//!
//! It belongs to one host, and holds a copy for each kind of backend. What can't be read is left as it is: whoever looks
//! after the host says what is to become of it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, Durability, ReadableDatabase as _, ReadableTable as _, StorageError, TableDefinition,
    TableError, TableHandle as _, WriteTransaction,
};

use super::Raw;
use super::view::Seen;
use crate::metadata::key::Key;
use crate::metadata::record::{Millis, Record};
use crate::metadata::transaction::Write;

/// The file's name in the state directory.
pub const FILE: &str = "metadata.redb";
/// How the file is to be read.
const FORMAT: u64 = 1;
/// Bytes of it that are kept in memory besides the copy itself.
const CACHE: usize = 1 << 20;

/// Whose file it is, and how it is to be read.
const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");
const FORMAT_KEY: &str = "format";
const OWNER_KEY: &str = "owner";

/// Whose copy it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub federation: String,
    pub site: String,
    pub host: String,
}

/// Which copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Embedded,
    Backend,
}

/// What is to be saved together.
#[derive(Debug, Default)]
pub(super) struct Update {
    /// Whether everything else goes.
    pub whole: bool,
    pub records: BTreeMap<String, Option<Raw>>,
    /// By key: number and record; without a record it is to be removed.
    pub pending: BTreeMap<String, Option<(u64, Option<String>)>>,
    pub state: Option<State>,
}

/// Why the file can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    #[error("{path}: {why}")]
    Io { path: PathBuf, why: String },
    #[error("another agent has {path} open: only one may run with this state-dir")]
    Busy { path: PathBuf },
    #[error(
        "{path} is damaged, or no file of this agent ({why}); it is left as it is. Move it away: then a new one is made, \
         and what sites told is asked for again; writes that waited in it are lost"
    )]
    Damaged { path: PathBuf, why: String },
    #[error(
        "{path} is of format {format}, and this agent knows {FORMAT}: a newer agent made it. Install that one again, or \
         move the file away"
    )]
    Newer { path: PathBuf, format: String },
    #[error(
        "{path} is of {found}, and this agent is {expected}; it is left as it is. Give each agent a state-dir of its own, \
         or move the file away if the host was renamed"
    )]
    Foreign { path: PathBuf, found: String, expected: String },
}

impl Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.federation, self.site, self.host)
    }
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    pub raw: BTreeMap<String, Raw>,
    /// The writes that wait, the oldest first.
    pub pending: Vec<Write>,
    pub state: State,
}

/// What else is kept of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub complete: bool,
    pub seen: Option<Seen>,
    /// When the backend last gave a sign of life.
    pub contact: Option<Millis>,
}

/// The names of one copy's tables.
struct Tables {
    /// Whole key to revision, whether it is left of an earlier history, and value.
    records: TableDefinition<'static, &'static str, (i64, bool, &'static str)>,
    /// Key to number and record; without a record it is to be removed.
    pending: TableDefinition<'static, &'static str, (u64, Option<&'static str>)>,
    state: TableDefinition<'static, &'static str, i64>,
}

const fn tables(part: Part) -> Tables {
    match part {
        Part::Embedded => Tables {
            records: TableDefinition::new("embedded-records"),
            pending: TableDefinition::new("embedded-pending"),
            state: TableDefinition::new("embedded-state"),
        },
        Part::Backend => Tables {
            records: TableDefinition::new("backend-records"),
            pending: TableDefinition::new("backend-pending"),
            state: TableDefinition::new("backend-state"),
        },
    }
}

/// The open file.
pub struct Disk {
    path: PathBuf,
    part: Part,
    database: Database,
}

impl Disk {
    /// Opens the file, or makes it where there is none.
    ///
    /// # Errors
    /// When it can't be used. Then it is as it was.
    pub fn open(path: &Path, part: Part, owner: &Owner) -> Result<(Self, Saved), DiskError> {
        let io = |error: io::Error| DiskError::Io { path: path.to_owned(), why: error.to_string() };
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io)?;
        let fail = |error| failure(path, error);
        let backend = FileBackend::new(file).map_err(fail)?;
        let mut builder = Database::builder();
        // A damaged file is found now, and not while something is to be written.
        let opened = builder.set_cache_size(CACHE).set_check_integrity_on_open(true).create_with_backend(backend);
        let disk = Self { path: path.to_owned(), part, database: opened.map_err(fail)? };
        disk.claim(owner)?;
        let saved = disk.read()?;
        Ok((disk, saved))
    }

    /// Saves; when this returns, it outlives a loss of power.
    ///
    /// # Errors
    /// When nothing of it was saved. The file must be opened again.
    pub fn save(&self, update: &Update) -> Result<(), DiskError> {
        self.write(|write| {
            let tables = tables(self.part);
            let (mut records, mut pending) = (write.open_table(tables.records)?, write.open_table(tables.pending)?);
            if update.whole {
                records.retain(|_, _| false)?;
                pending.retain(|_, _| false)?;
            }
            for (full, raw) in &update.records {
                match raw {
                    Some(raw) => drop(records.insert(full.as_str(), (raw.revision, raw.stale, raw.value.as_str()))?),
                    None => drop(records.remove(full.as_str())?),
                }
            }
            for (key, row) in &update.pending {
                match row {
                    Some((id, record)) => drop(pending.insert(key.as_str(), (*id, record.as_deref()))?),
                    None => drop(pending.remove(key.as_str())?),
                }
            }
            let mut table = write.open_table(tables.state)?;
            for (key, value) in update.state.iter().flat_map(State::rows) {
                match value {
                    Some(value) => drop(table.insert(key, value)?),
                    None => drop(table.remove(key)?),
                }
            }
            Ok(())
        })
        .map_err(|error| self.error(error))
    }

    /// Writes the file's format and owner into a new one, else compares them.
    fn claim(&self, owner: &Owner) -> Result<(), DiskError> {
        let path = self.path.clone();
        let (format, found, others) = self.about().map_err(|error| self.error(error))?;
        match format {
            Some(format) if format != FORMAT.to_string() => Err(DiskError::Newer { path, format }),
            Some(_) => {
                let (found, expected) = (found.unwrap_or_default(), owner.to_string());
                if found == expected { Ok(()) } else { Err(DiskError::Foreign { path, found, expected }) }
            }
            None if others => Err(DiskError::Damaged { path, why: "it has tables and no format".to_owned() }),
            None => self
                .write(|write| {
                    let mut about = write.open_table(ABOUT)?;
                    about.insert(FORMAT_KEY, FORMAT.to_string().as_str())?;
                    about.insert(OWNER_KEY, owner.to_string().as_str())?;
                    Ok(())
                })
                .map_err(|error| self.error(error)),
        }
    }

    /// Format and owner, and whether there is anything else.
    fn about(&self) -> Result<(Option<String>, Option<String>, bool), redb::Error> {
        let read = self.database.begin_read()?;
        let others = read.list_tables()?.any(|table| table.name() != ABOUT.name());
        let about = match read.open_table(ABOUT) {
            Ok(about) => about,
            Err(TableError::TableDoesNotExist(_)) => return Ok((None, None, others)),
            Err(error) => return Err(error.into()),
        };
        let text = |key| Ok::<_, redb::Error>(about.get(key)?.map(|value| value.value().to_owned()));
        Ok((text(FORMAT_KEY)?, text(OWNER_KEY)?, others))
    }

    fn read(&self) -> Result<Saved, DiskError> {
        let mut saved = Saved::default();
        let mut waiting = BTreeMap::new();
        let read = self.write(|write| {
            // Opened for writing, which makes them in a new file.
            let tables = tables(self.part);
            for row in write.open_table(tables.records)?.iter()? {
                let (full, raw) = row?;
                let (revision, stale, value) = raw.value();
                saved.raw.insert(full.value().to_owned(), Raw { value: value.to_owned(), revision, stale });
            }
            for row in write.open_table(tables.pending)?.iter()? {
                let (key, row) = row?;
                let (id, record) = row.value();
                waiting.insert(id, (key.value().to_owned(), record.map(str::to_owned)));
            }
            let state = write.open_table(tables.state)?;
            saved.state = State::of(|key| Ok(state.get(key)?.map(|value| value.value())))?;
            Ok(())
        });
        read.map_err(|error| self.error(error))?;
        for (key, record) in waiting.into_values() {
            saved.pending.push(self.waiting(&key, record.as_deref())?);
        }
        Ok(saved)
    }

    fn waiting(&self, key: &str, record: Option<&str>) -> Result<Write, DiskError> {
        let damaged = |why: String| DiskError::Damaged { path: self.path.clone(), why };
        let parsed = Key::parse(key).ok_or_else(|| damaged(format!("a write that waits has the key {key}")))?;
        Ok(match record.map(|text| Record::decode(&parsed, text)) {
            Some(Ok(record)) => Write::Put(parsed, record),
            Some(Err(error)) => return Err(damaged(format!("the write of {key} that waits: {error}"))),
            None => Write::Remove(parsed),
        })
    }

    fn write(&self, change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>) -> Result<(), redb::Error> {
        let mut write = self.database.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        change(&write)?;
        Ok(write.commit()?)
    }

    fn error(&self, error: redb::Error) -> DiskError {
        let path = self.path.clone();
        match error {
            redb::Error::Io(error) => DiskError::Io { path, why: error.to_string() },
            redb::Error::PreviousIo => DiskError::Io { path, why: "an earlier write failed".to_owned() },
            other => DiskError::Damaged { path, why: other.to_string() },
        }
    }
}

impl State {
    fn rows(&self) -> [(&'static str, Option<i64>); 4] {
        [
            ("complete", Some(i64::from(self.complete))),
            ("cluster", self.seen.map(|seen| seen.cluster.cast_signed())),
            ("revision", self.seen.map(|seen| seen.revision)),
            ("contact", self.contact.and_then(|contact| i64::try_from(contact).ok())),
        ]
    }

    fn of(value: impl Fn(&str) -> Result<Option<i64>, redb::Error>) -> Result<Self, redb::Error> {
        Ok(Self {
            complete: value("complete")? == Some(1),
            seen: match (value("cluster")?, value("revision")?) {
                (Some(cluster), Some(revision)) => Some(Seen { cluster: cluster.cast_unsigned(), revision }),
                _ => None,
            },
            contact: value("contact")?.and_then(|contact| Millis::try_from(contact).ok()),
        })
    }
}

fn failure(path: &Path, error: DatabaseError) -> DiskError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => DiskError::Busy { path },
        DatabaseError::Storage(StorageError::Io(error)) if !lasting(&error) => {
            DiskError::Io { path, why: error.to_string() }
        }
        other => DiskError::Damaged { path, why: other.to_string() },
    }
}

/// Whether an I/O error tells of what stands in the file, and not of the disk.
fn lasting(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
