//! Changes of records: one, or several that are done all or not at all.

use super::key::Key;
use super::record::Record;

/// A change of one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Put(Key, Record),
    Remove(Key),
}

impl Write {
    /// The record that it changes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(key, _) | Self::Remove(key) => key,
        }
    }
}

/// What must hold for a transaction to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// No record is there.
    Absent(Key),
    /// The record that is there was last written at this revision.
    Unchanged(Key, i64),
}

/// Writes that are done all or not at all, if all conditions hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transaction {
    pub when: Vec<Condition>,
    pub then: Vec<Write>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All writes are done, at this revision: greater than that of every transaction before.
    Done(i64),
    /// A condition didn't hold; nothing was written.
    Conflict,
}
