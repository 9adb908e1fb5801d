//! Exit codes, the same for every verb (SPEC.md 8).

use std::process::ExitCode;

use super::ClientError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Yes = 0,
    /// A check failed, a scope is wrong, something isn't ready.
    No = 1,
    /// clap's own code too.
    Usage = 2,
    NotFound = 3,
    Partial = 4,
    /// The agent can't be reached.
    Unreachable = 5,
    /// The agent refuses it to this user.
    Refused = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// The code for what went wrong.
pub fn of(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Unreachable { .. }) => Exit::Unreachable,
        Some(ClientError::Refused { .. }) => Exit::Refused,
        Some(ClientError::NotFound { .. }) => Exit::NotFound,
        Some(ClientError::BadRequest { .. }) => Exit::Usage,
        Some(ClientError::Failed { .. } | ClientError::Broken(_)) | None => Exit::No,
    }
}
