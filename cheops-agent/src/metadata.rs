//! What this agent knows of sites and services: a snapshot that requests read without waiting.

pub mod snapshot;

pub use snapshot::{Endpoint, EndpointId, Service, Site, Snapshot};
