//! The decision: what is done with one request, and why. Pure.
//!
//! `target` finds the endpoint that a request addresses, `binding` what a scope says of it, `nearby` finds what
//! `around` and `*` stand for, `decide` puts all together, `forward` fits heads to the endpoint that serves, `render`
//! shows a plan, `marker` says where a list of several sites goes on.

mod binding;
pub mod decide;
pub mod forward;
pub mod marker;
pub mod model;
mod nearby;
mod reason;
pub mod render;
pub mod target;
#[cfg(test)]
mod tests;
mod world;

pub use crate::profile::OpKind;
pub use decide::{Asked, Decision, Workflow, decide, explain};
pub use model::{CarriedScope, Choice, Destination, GoesOn, NextOn, Plan, Reason, Route, ScopeSource};
pub use nearby::{Candidate, Verdict};
pub use world::World;
