//! The agent's configuration (`/etc/cheops/agent.toml` and its drop-ins), as values that were checked.
//!
//! `keys` is the one table of every key, its type, default and meaning; `source` reads TOML with the place of each
//! value and merges drop-ins; `raw` reads typed values by the table; `validate` checks values against each other;
//! `load` does all of it; `help` prints the table; `reload` says what a changed file changes. `model` is what the rest
//! of the agent sees.

pub mod diagnostic;
pub mod help;
pub mod keys;
pub mod load;
pub mod model;
mod raw;
pub mod reload;
mod source;
mod validate;
mod values;

pub use diagnostic::{ConfigError, Diagnostic, Severity};
pub use load::{DEFAULT_PATH, Loaded, drop_ins, from_text, load, load_with};
pub use model::*;
pub use values::{duration_of as duration, endpoint as endpoint_url};
