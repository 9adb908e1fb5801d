//! The admin API.

/// In every JSON document.
pub const API_VERSION: &str = "cheops/v1";
