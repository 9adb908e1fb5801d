//! Why a message can't be passed on.

use super::problem::{Code, Problem};
use crate::observe::Limit;

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Not well-formed (RFC 9112, 2 to 5).
    #[error("{0}")]
    Malformed(&'static str),
    /// Where it ends is in doubt (RFC 9112, 6).
    #[error("{0}")]
    Length(&'static str),
    /// The head has more bytes than are allowed.
    #[error("the head has too many bytes")]
    TooLong,
    /// The head has more fields than are allowed.
    #[error("the head has too many fields")]
    TooManyFields,
    /// A chunk has longer extensions than are allowed (RFC 9112, 7.1.1).
    #[error("a chunk's extensions are too long")]
    Extensions,
    /// The trailers have more bytes than are allowed (RFC 9112, 7.1.2).
    #[error("the trailers are too long")]
    Trailers,
    /// Neither HTTP/1.1 nor HTTP/1.0 (RFC 9110, 2.5).
    #[error("the HTTP version is neither 1.1 nor 1.0")]
    Version,
}

impl FramingError {
    /// What a client is told about its request.
    pub fn of_request(self) -> Problem {
        let code = match self {
            Self::Malformed(_) => Code::MalformedRequest,
            Self::Length(_) => Code::BadFraming,
            Self::TooLong | Self::TooManyFields => Code::HeadTooLarge,
            Self::Extensions => Code::ChunkExtensionsTooLarge,
            Self::Trailers => Code::TrailersTooLarge,
            Self::Version => Code::VersionNotSupported,
        };
        self.problem(code)
    }

    /// What a client is told about the service's answer.
    pub fn of_answer(self) -> Problem {
        self.problem(Code::BadAnswer)
    }

    fn problem(self, code: Code) -> Problem {
        match self.limit() {
            Some(limit) => Problem::at_limit(code, self.to_string(), limit),
            None => Problem::new(code, self.to_string()),
        }
    }

    /// The limit that the message ran into.
    pub fn limit(self) -> Option<Limit> {
        match self {
            Self::TooLong => Some(Limit::HeadBytes),
            Self::TooManyFields => Some(Limit::Headers),
            Self::Extensions => Some(Limit::ChunkExtensionBytes),
            Self::Trailers => Some(Limit::TrailerBytes),
            Self::Malformed(_) | Self::Length(_) | Self::Version => None,
        }
    }
}
