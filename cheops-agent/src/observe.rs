//! What happened: counters, live requests, and the access log. Holds no credentials and no bodies.
//!
//! [`Observer`] is the one thing that the data path is given. Counting is a few atomic additions; an event's text is
//! made only for scoped requests and while somebody taps.

mod access_log;
pub mod check;
pub mod counters;
pub mod counts;
pub mod event;
pub mod id;
pub mod metrics;
pub mod observer;
pub mod tap;

pub use check::{Check, Grade};
pub use counters::{Limit, Passthrough, Refused};
pub use counts::Counts;
pub use event::{EventLink, RequestEvent};
pub use id::request_id;
pub use observer::{Finished, Observer, OpenConnection, OpenTunnel};
pub use tap::{Tap, Tapped};
