//! HTTP/1.x on the wire (RFC 9110, 9112): what a connection speaks, heads with their raw bytes, strict framing,
//! bodies, and the answers that the agent makes itself.
//!
//! `sniff` tells HTTP/1 from other traffic; `head` keeps a head's bytes and knows where its parts stand; `framing`
//! alone decides whether a head is well-formed and where its message ends; `body` follows the message to that end;
//! `reply` writes the agent's own answers; `query` finds and sets a target's parameters.

pub mod body;
mod error;
mod fields;
pub mod framing;
pub mod head;
pub mod problem;
pub mod query;
pub mod reply;
pub mod sniff;

pub use body::Body;
pub use error::FramingError;
pub use fields::{Field, MAX_FIELDS};
pub use head::{AnswerFrame, AnswerHead, BodyLength, RequestHead, Version};
pub use problem::{Code, Form, Problem};
pub use sniff::{Sniffed, sniff};
