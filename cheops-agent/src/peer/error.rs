//! What can go wrong between two agents, and how far the request had got.

use std::io;

use super::outcome::Outcome;
use crate::http::Code;
use crate::names::SiteName;

/// Why an exchange with a peer failed. [`PeerError::outcome`] is what decides whether another site may be tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No connection to any of the site's agents; nothing was sent.
    #[error("{site} can't be reached: {reason}")]
    Unreachable { site: SiteName, reason: String },
    /// The peer's agent has as many exchanges open as it takes; nothing was sent.
    #[error("{}", named(site, reason))]
    Busy { site: SiteName, reason: String },
    /// The peer's agent answered that it won't, or can't, serve the request.
    #[error("{}", named(site, &refusal.detail))]
    Refused { site: SiteName, refusal: Refusal },
    /// The link broke, or the peer broke its word, after the request may have reached it.
    #[error("the exchange with {site} broke off: {reason}")]
    Lost { site: SiteName, reason: String },
    /// The deadline passed.
    #[error("{site} did not answer in time")]
    Timeout { site: SiteName, outcome: Outcome },
}

impl PeerError {
    /// How far the request got, as far as this side can know.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unreachable { .. } | Self::Busy { .. } => Outcome::NotSent,
            Self::Refused { refusal, .. } => refusal.outcome,
            Self::Lost { .. } => Outcome::Sent,
            Self::Timeout { outcome, .. } => *outcome,
        }
    }

    /// The problem that the client is told.
    pub fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } => Code::PeerUnreachable,
            Self::Busy { .. } => Code::PeerBusy,
            Self::Refused { refusal, .. } => refusal.code,
            Self::Lost { .. } => Code::OutcomeUnknown,
            Self::Timeout { outcome: Outcome::NotSent, .. } => Code::PeerUnreachable,
            Self::Timeout { .. } => Code::Timeout,
        }
    }
}

/// What is said of a site, with its name before it unless it begins with that: what an agent says of its own site often
/// does, and what each agent on the way adds would stand there again and again.
pub(crate) fn named(site: &SiteName, detail: &str) -> String {
    let rest = detail.strip_prefix(site.as_str());
    match rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric)) {
        true => detail.to_owned(),
        false => format!("{site}: {detail}"),
    }
}

impl From<PeerError> for io::Error {
    fn from(error: PeerError) -> Self {
        io::Error::new(io::ErrorKind::ConnectionReset, error)
    }
}

/// A peer's answer that there is no answer of the service: how far the request got, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub outcome: Outcome,
    pub code: Code,
    /// For people. Holds no credentials.
    pub detail: String,
}

impl Refusal {
    /// Nothing was sent to the service.
    pub fn not_sent(code: Code, detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::NotSent, code, detail: detail.into() }
    }

    /// The service may have seen the request.
    pub fn sent(code: Code, detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::Sent, code, detail: detail.into() }
    }
}

/// An HTTP/2 error as an I/O error, without its cause's own kind being lost.
pub(super) fn io_error(error: h2::Error) -> io::Error {
    match error.get_io() {
        Some(inner) => io::Error::new(inner.kind(), error.to_string()),
        None => io::Error::new(io::ErrorKind::ConnectionReset, error),
    }
}

/// Whether the peer has as many streams open as it takes (RFC 9113, 8.7).
pub(super) fn is_refused_stream(error: &h2::Error) -> bool {
    error.is_remote() && error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

/// Whether HTTP/2 itself promises that the peer did nothing with the stream (RFC 9113, 8.7): it was refused, or is
/// above the last stream of a GOAWAY.
pub(super) fn never_processed(error: &h2::Error) -> bool {
    (error.is_remote() && error.is_go_away()) || is_refused_stream(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_named_once() {
        let refused = |detail: &str| PeerError::Refused {
            site: "Paris".into(),
            refusal: Refusal::not_sent(Code::ServiceUnreachable, detail),
        };
        for (detail, told) in [
            ("10.77.2.1:9292: Connection refused", "Paris: 10.77.2.1:9292: Connection refused"),
            ("Paris: 10.77.2.1:9292: Connection refused", "Paris: 10.77.2.1:9292: Connection refused"),
            ("Paris does not offer Glance to its peers", "Paris does not offer Glance to its peers"),
            ("Paris", "Paris"),
            ("Paris2: no", "Paris: Paris2: no"),
            ("Berlin, which issued the token, is away", "Paris: Berlin, which issued the token, is away"),
            ("", "Paris: "),
        ] {
            assert_eq!(refused(detail).to_string(), told);
        }
        let busy = PeerError::Busy { site: "Paris".into(), reason: "Paris: too many".to_owned() };
        assert_eq!(busy.to_string(), "Paris: too many");
    }
}
