//! Accepting connections that the kernel programs took, and what the accepted socket tells.

pub mod backlog;
pub mod listeners;
pub mod origin;
pub mod owner;
pub mod sys;

pub use backlog::Backlog;
pub use listeners::Listeners;
pub use origin::{OriginError, Origins, SessionId, Taken};
