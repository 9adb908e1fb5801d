//! One exchange: a request from a client to a service, and its answers back (RFC 9112, 9.3), both at once.
//!
//! The two ends may be any streams: a TCP connection, a stream of a peer. Bytes go on as they came; the answer's head may
//! be judged and replaced. Each direction reads only when what it read before is written (back-pressure), answers may come
//! before the request is whole, and what the client pipelines meanwhile stays pending.

mod kept;
mod relay;

use std::io;
use std::time::Duration;

use bytes::Bytes;

pub use kept::Kept;

use super::closing::Closing;
use super::stream::Stream;
use super::wire::Wire;
use crate::config::{Limits, Timeouts};
use crate::http::body::Around;
use crate::http::{AnswerHead, Code, FramingError, Problem, RequestHead};
use crate::observe::Limit;

/// What goes to the service.
#[derive(Debug)]
pub struct Sending<'a> {
    pub request: &'a RequestHead,
    /// The head as it goes on: the request's own bytes, without the scope, or with another target.
    pub head: Bytes,
    /// Keeps the body so that it can be sent again elsewhere.
    pub kept: Option<&'a mut Kept>,
}

/// What is done with the answer.
pub struct Answering<'a> {
    /// Looks at the final answer's head before a byte of it reaches the client.
    pub judge: Option<&'a mut (dyn FnMut(&AnswerHead) -> Judged + Send)>,
    /// From the last byte sent to the answer's first byte; `None` waits without limit.
    pub begin_within: Option<Duration>,
    /// Once it has begun, the final answer says that the connection ends.
    pub closing: Option<&'a Closing>,
}

impl Answering<'_> {
    /// Every answer goes to the client as it is, whenever it comes.
    pub const AS_IT_IS: Answering<'static> = Answering { judge: None, begin_within: None, closing: None };
}

/// What becomes of a final answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    AsItIs,
    /// This head instead of its own, with the same framing.
    Instead(Bytes),
    /// The client must not see it: the exchange ends with [`Cause::Declined`]. But if the body that was sent isn't kept,
    /// so that nobody else can be asked, this head goes to the client instead of the answer's own.
    Decline(Bytes),
    /// The client must not see it, whatever becomes of the request: the exchange ends with [`Cause::Declined`].
    Refuse,
}

/// What a stranger may make last or grow in one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of an answer's head.
    pub head_bytes: usize,
    /// Of either body's chunks and trailers.
    pub around: Around,
    /// Bytes of the client's next requests that are read meanwhile.
    pub pipelined: usize,
    /// Fields of an answer's head.
    pub fields: usize,
    /// From the first byte of an answer's head to its last.
    pub header_read: Duration,
    /// Between two pieces of a request's body. An answer's body may pause: watches do.
    pub body_read: Duration,
}

impl Bounds {
    pub fn new(limits: &Limits, timeouts: &Timeouts) -> Self {
        Self {
            head_bytes: limits.head_bytes,
            around: Around { extension: limits.chunk_extension_bytes, trailers: limits.trailer_bytes },
            pipelined: limits.pipelined_bytes,
            fields: limits.headers,
            header_read: timeouts.header_read,
            body_read: timeouts.body_read,
        }
    }
}

/// An exchange whose final answer reached the client whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The final answer's.
    pub status: u16,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the final answer's body.
    pub bytes_out: u64,
    pub next: Next,
}

/// What may follow on the two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another request.
    Request,
    /// Nothing: one end said so, or the messages' ends aren't known any more.
    End,
    /// Nothing: the agent said so to the client.
    Closing,
    /// Both ends have left HTTP (101, or 2xx to CONNECT): what is pending and what comes is passed on.
    Tunnel,
}

/// The end at which an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Service,
}

/// How far a failed exchange got, by what the service and the client may have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// No byte of the request left: nothing can have happened at the service.
    Nothing,
    /// Some of the request left; the client has seen nothing of a final answer.
    Sent,
    /// The client has seen some of the final answer.
    AnswerBegun,
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A message that is not well-formed.
    #[error("{0}")]
    Framing(#[from] FramingError),
    /// The connection ended inside a message, or before the answer.
    #[error("the connection was closed")]
    Closed,
    /// The end did nothing for this long.
    #[error("nothing came for {} s", .1.as_secs_f64())]
    Timeout(Limit, Duration),
    /// The answer, with this status, was declined by its judge.
    #[error("the answer {0} was declined")]
    Declined(u16),
}

/// A failed exchange. Both connections are unusable after it, except that a client which has seen nothing can still get
/// another answer.
#[derive(Debug, thiserror::Error)]
#[error("{side:?} ({reached:?}): {cause}")]
pub struct ExchangeError {
    pub side: Side,
    pub reached: Reached,
    pub cause: Cause,
    /// Whether the request's body was taken from the client whole, so that another answer may leave its connection open.
    pub body_taken: bool,
}

impl ExchangeError {
    /// The limit that the exchange ran into.
    pub fn limit(&self) -> Option<Limit> {
        match self.cause {
            Cause::Timeout(limit, _) => Some(limit),
            Cause::Framing(error) => error.limit(),
            Cause::Io(_) | Cause::Closed | Cause::Declined(_) => None,
        }
    }

    /// What the client may be told instead of an answer: nothing when it has seen some of one, or has gone.
    pub fn problem(&self) -> Option<Problem> {
        if self.reached == Reached::AnswerBegun {
            return None;
        }
        match (self.side, &self.cause) {
            (Side::Client, Cause::Framing(error)) => Some(error.of_request()),
            (Side::Client, Cause::Timeout(limit, _)) => {
                Some(Problem::at_limit(Code::RequestTimeout, self.cause.to_string(), *limit))
            }
            (Side::Client, _) => None,
            (Side::Service, Cause::Framing(error)) => Some(error.of_answer()),
            (Side::Service, Cause::Timeout(limit, _)) => {
                Some(Problem::at_limit(Code::Timeout, self.cause.to_string(), *limit))
            }
            (Side::Service, cause) if self.reached == Reached::Nothing => {
                Some(Problem::new(Code::ServiceUnreachable, cause.to_string()))
            }
            (Side::Service, cause) => Some(Problem::new(Code::OutcomeUnknown, cause.to_string())),
        }
    }
}

/// Runs one exchange: `sending` to the service, with the body that is pending at the client or still comes, and what
/// comes back to the client.
///
/// A client that ends its side after its last request has that told to the service at once. A service that ends before
/// it answered is an error of the service; nothing is made up for it here.
///
/// # Errors
/// At whichever end the exchange can't go on. Nothing was written to the client unless the error says
/// [`Reached::AnswerBegun`], interim answers apart.
pub async fn exchange<C, S>(
    client: &mut Wire<C>,
    service: &mut Wire<S>,
    sending: Sending<'_>,
    answering: Answering<'_>,
    bounds: Bounds,
) -> Result<Finished, ExchangeError>
where
    C: Stream,
    S: Stream,
{
    let mut relay = relay::Relay::new(client, service, sending, answering, bounds);
    std::future::poll_fn(|cx| relay.poll(cx)).await
}

#[cfg(test)]
mod tests;
