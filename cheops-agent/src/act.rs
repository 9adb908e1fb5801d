//! Serving a request: over the connection that was dialled for its client, or elsewhere.
//!
//! `wire` is a stream with its unread bytes, `exchange` one request and its answers between two wires, `passthrough`
//! everything that isn't HTTP (any more), `upstream` the way to a service, `connection` a client's whole connection.

pub mod admission;
mod alarm;
mod asked;
pub mod closing;
pub mod connection;
pub mod door;
pub mod exchange;
#[cfg(test)]
pub(crate) mod fakes;
mod far;
pub mod forward;
mod gather;
pub mod ids;
pub mod link;
mod marks;
mod notes;
mod otherwise;
pub mod parked;
pub mod passthrough;
mod pool;
mod reach;
pub mod run;
pub mod scoped;
pub mod serve_peer;
pub mod shared;
pub mod splice;
pub mod stream;
pub mod tokens;
pub mod upstream;
pub mod wire;

pub use exchange::{Answering, Cause, ExchangeError, Finished, Judged, Kept, Next, Reached, Sending, Side, exchange};
pub use run::run;
pub use scoped::{Ran, RunError, Scoped};
pub use serve_peer::ServePeer;
pub use shared::{Pace, Shared};
pub use stream::Stream;
pub use tokens::Tokens;
pub use wire::Wire;
