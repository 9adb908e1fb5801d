//! Start and stop of the agent.

pub mod preflight;
