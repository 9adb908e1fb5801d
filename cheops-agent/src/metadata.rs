//! What this agent knows of sites and services: a snapshot that requests read without waiting.
//!
//! `build` makes a snapshot from the configuration and the addresses that `names` found; `guard` says which of its
//! endpoints the kernel programs shall take; `learned` refuses endpoints that another site may not announce; `latency`
//! makes distances and states of what probes saw.

mod build;
pub mod guard;
pub mod latency;
pub mod learned;
pub mod names;
pub mod snapshot;

pub use build::build;
pub use guard::{Aliases, Guard, guards};
pub use latency::Distances;
pub use names::Names;
pub use snapshot::{Endpoint, EndpointId, Service, Site, Snapshot};
