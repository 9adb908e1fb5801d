//! Many sites in one process: the agent's own membership and liveness (`Board` with all that is below it, its datagrams
//! and the texts of its links as they are on the wire), on a network and by a clock that are made up.
//!
//! `network` says what arrives and when, `wire` how many bytes that takes, `node` is one site's agent, `world` lets the
//! time pass, `measure` looks at what came of it. The same seed gives the same course; only the keys of datagrams are
//! drawn elsewhere, and nothing depends on them but some digits of their length.

pub mod measure;
pub mod network;
pub mod node;
pub mod wire;
pub mod world;

pub use measure::Spread;
pub use network::{Network, Weather};
pub use wire::{PARTS, Traffic};
pub use world::World;
