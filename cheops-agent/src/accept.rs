//! Accepting connections that the kernel programs took, and what the accepted socket tells.

pub mod origin;

pub use origin::{OriginError, Origins, SessionId, Taken};
