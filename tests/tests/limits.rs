//! The agent's limits, and what it does where it can't do as if it weren't there.

#[path = "limits/refusals.rs"]
mod refusals;
