//! Agent to agent: HTTP/2 over mutual TLS, one stream per exchange (AMENDMENTS of the design: 17, 18, 20).
//!
//! A request goes to another site as one `POST /cheops/v1/exchange`. What the stream's DATA carries, both ways, is the
//! HTTP/1.1 message byte for byte: HTTP/2 itself would lose the case and the order of fields, the reason phrase and the
//! framing. What the other agent must know besides stands in the [`Envelope`]; how it ended, in the [`Outcome`].
//!
//! `trust` says who may talk, `envelope` what is said, `stream` makes a byte stream of an HTTP/2 stream, `client` and
//! `server` are the two ends, `liveness` looks after the peers, `beat` probes them, `join` lets hosts in that have no
//! certificate yet. This room knows nothing of what is done with a request:
//! the server hands it to whoever implements [`Serve`].

mod beat;
pub mod client;
mod cork;
pub mod counters;
pub mod envelope;
pub mod error;
mod hello;
pub mod join;
pub mod liveness;
mod outcome;
mod pulse;
mod renew;
pub mod server;
pub mod stream;
mod table;
pub mod trust;

pub use client::Client;
pub use counters::{Count, Counters};
pub use envelope::{Envelope, Hop};
pub(crate) use error::named;
pub use error::{PeerError, Refusal};
pub use hello::{Asks, Hello, Told};
pub use liveness::{Address, Board, Liveness, PeerState, PeerStatus, Publisher, Sites};
pub use outcome::Outcome;
pub use renew::Signs;
pub use server::{Call, Serve, Server};
pub use stream::{PeerStream, ServerStream};
pub use table::{Row, Table};
pub use trust::{PeerIdentity, Revocations, Security, TrustError};

/// Bytes of one stream that may be on their way to a reader that doesn't read: the memory that one exchange can hold
/// here, and with the round-trip time the most that one exchange can carry (1 MiB at 50 ms: 20 MiB/s).
const STREAM_WINDOW: u32 = 1 << 20;
/// The largest window that HTTP/2 has (RFC 9113, 6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;
/// What is read of a link at once; TLS itself asks for 4 KiB only.
const READ_BYTES: usize = 32 * 1024;
/// Bytes of a request's or answer's HTTP/2 header list; the envelope is all that stands there.
const HEADER_LIST: u32 = 32 * 1024;
/// Where exchanges are posted.
const EXCHANGE_PATH: &str = "/cheops/v1/exchange";
/// Where requests are told of to the other agents of a site.
const NOTE_PATH: &str = "/cheops/v1/note";
/// Where the other agents of a site are asked for ids.
const ASK_PATH: &str = "/cheops/v1/ids";
/// Where peers say who they are.
const HELLO_PATH: &str = "/cheops/v1/hello";

/// How a link ends whose asking end isn't believed any more (RFC 9113, 7).
const NOT_BELIEVED: h2::Reason = h2::Reason::INADEQUATE_SECURITY;

/// The window of a whole connection: wide enough that `streams` exchanges whose readers stand still can't stop another.
fn connection_window(streams: u32) -> u32 {
    STREAM_WINDOW.saturating_mul(streams.max(1)).min(LARGEST_WINDOW)
}

#[cfg(test)]
mod tests;
