//! How far a request got, as the two ends of a link agree on it.

/// How far a request got at a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// No byte of it reached the service. Another site may be tried.
    NotSent,
    /// The service may have seen it, and did not answer whole.
    Sent,
    /// The service's answer came, whole.
    Answered,
}

impl Outcome {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not-sent",
            Self::Sent => "sent",
            Self::Answered => "answered",
        }
    }

    /// Reads it from the wire.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        [Self::NotSent, Self::Sent, Self::Answered].into_iter().find(|outcome| outcome.as_str().as_bytes() == text)
    }
}
