//! How much of what a cluster keeps is taken: it may be careless, or hostile.

/// Bytes of one record as it is kept.
pub const RECORD: usize = 256 << 10;
/// Bytes of one key.
pub const KEY: usize = 1 << 10;

/// Why something is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    #[error("its key is longer than {KEY} bytes")]
    Key,
    #[error("it is larger than {RECORD} bytes")]
    Record,
}

/// Whether one record is not too large.
///
/// # Errors
/// What is too large of it.
pub fn fits(full: &str, value: &str) -> Result<(), Excess> {
    match (full.len(), value.len()) {
        (key, _) if key > KEY => Err(Excess::Key),
        (_, value) if value > RECORD => Err(Excess::Record),
        _ => Ok(()),
    }
}
