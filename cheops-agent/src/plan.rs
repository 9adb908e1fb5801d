//! The decision: what is done with one request, and why. Pure.

pub mod model;

pub use model::{Destination, OpKind, Plan, Reason, Route, ScopeSource};
