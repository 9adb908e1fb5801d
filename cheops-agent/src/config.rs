//! The agent's configuration (`/etc/cheops/agent.toml` and its drop-ins), as values that were checked.
//!
//! `model` is what the rest of the agent sees; `load` reads files, merges drop-ins and locates errors;
//! `help` prints every key with its default.

pub mod model;

pub use model::*;
