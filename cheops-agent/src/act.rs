//! Serving a request: over the connection that was dialled for its client, or elsewhere.
//!
//! `wire` is a stream with its unread bytes, `exchange` one request and its answers between two wires, `passthrough`
//! everything that isn't HTTP (any more), `upstream` the way to a service, `connection` a client's whole connection.

pub mod exchange;
pub mod wire;

pub use exchange::{Answering, Cause, ExchangeError, Finished, Judged, Kept, Next, Reached, Sending, Side, exchange};
pub use wire::Wire;
