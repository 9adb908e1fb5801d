//! What happened: counters, live requests, and the access log. Holds no credentials and no bodies.

pub mod check;
pub mod event;

pub use check::{Check, Grade};
pub use event::RequestEvent;
