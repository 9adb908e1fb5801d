//! What this agent knows of sites and services: a snapshot that requests read without waiting.
//!
//! `build` makes a snapshot from the configuration and the addresses that `names` found, and `merge` adds what other sites
//! told; `publish` says what this agent tells itself; `guard` says which of its
//! endpoints the kernel programs shall take; `learned` refuses endpoints that another site may not announce; `latency`
//! makes distances and states of what probes saw.
//!
//! What sites tell each other is kept as records: `key` and `record` say what they are, `seal` who wrote them, `store` is
//! this agent's copy and the writes that wait, `truth` decides what needs one truth among sites. `etcd` is the backend that
//! all sites share, and `cluster` says who its members are; `bounds` says how much of what it keeps is taken.

mod announced;
pub mod bounds;
mod build;
pub mod cluster;
pub mod etcd;
pub mod guard;
pub mod key;
pub mod latency;
pub mod learned;
pub mod merge;
pub mod names;
pub mod outlook;
pub mod publish;
pub mod record;
pub mod revoke;
pub mod rotation;
pub mod seal;
pub mod snapshot;
pub mod store;
pub mod transaction;
pub mod truth;

pub use build::build;
pub use cluster::Cluster;
pub use guard::{Aliases, Guard, guards};
pub use key::Key;
pub use latency::Distances;
pub use merge::{Merged, RefusedEndpoint, merge};
pub use names::Names;
pub use record::Record;
pub use snapshot::{Endpoint, EndpointId, Service, Site, Snapshot};
pub use store::{Store, View};
