//! HTTP/1.x on the wire (RFC 9110, 9112): what a connection speaks, heads with their raw bytes, strict framing,
//! bodies, and the answers that the agent makes itself.

pub mod problem;

pub use problem::{Code, Problem};
