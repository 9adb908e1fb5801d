//! What etcd's errors mean: whether something may have been done, whether it helps to ask again, and what is to be done.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use etcd_client::Error;

use crate::metadata::truth::TruthError;

/// What an error says of what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was not done, and may be later.
    Away,
    /// It was not done, and won't be until somebody changes something.
    Refused,
    /// It was not done: whoever asked has to say again who it is.
    Stranger,
    /// The revision that was asked for is forgotten.
    Compacted,
    /// The answer is larger than is read.
    TooLarge,
    /// It may have been done.
    Unknown,
}

/// Why something failed, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub kind: Kind,
    pub text: String,
}

/// gRPC's status codes, by their numbers on the wire.
mod code {
    pub const INVALID_ARGUMENT: i32 = 3;
    pub const NOT_FOUND: i32 = 5;
    pub const PERMISSION_DENIED: i32 = 7;
    pub const RESOURCE_EXHAUSTED: i32 = 8;
    pub const FAILED_PRECONDITION: i32 = 9;
    pub const OUT_OF_RANGE: i32 = 11;
    pub const UNIMPLEMENTED: i32 = 12;
    pub const UNAUTHENTICATED: i32 = 16;
}

impl Trouble {
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// Nothing came back in time.
    pub fn silence(within: Duration) -> Self {
        Self::new(Kind::Unknown, format!("no answer within {} s", within.as_secs()))
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let (kind, mut text) = match &error {
            Error::GRpcStatus(status) => {
                let said = status.message();
                (kind(status.code().into(), said), with_sources(said.to_owned(), status.source()))
            }
            Error::TransportError(error) => (Kind::Away, with_sources(error.to_string(), error.source())),
            Error::LeaseKeepAliveError(_) => (Kind::Refused, error.to_string()),
            Error::InvalidArgs(_) | Error::InvalidUri(_) => (Kind::Refused, error.to_string()),
            _ => (Kind::Unknown, error.to_string()),
        };
        if let Some(remedy) = remedy(&text) {
            text = format!("{text}; {remedy}");
        }
        Self { kind, text }
    }
}

fn kind(code: i32, said: &str) -> Kind {
    match code {
        _ if said.contains("no leader") => Kind::Away,
        _ if said.contains("has been compacted") => Kind::Compacted,
        code::OUT_OF_RANGE if said.contains("message length too large") => Kind::TooLarge,
        code::UNAUTHENTICATED => Kind::Stranger,
        _ if said.contains("revision in header is old") || said.contains("invalid auth token") => Kind::Stranger,
        _ if said.contains("too many requests") => Kind::Away,
        code::INVALID_ARGUMENT
        | code::NOT_FOUND
        | code::PERMISSION_DENIED
        | code::RESOURCE_EXHAUSTED
        | code::FAILED_PRECONDITION
        | code::OUT_OF_RANGE
        | code::UNIMPLEMENTED => Kind::Refused,
        _ => Kind::Unknown,
    }
}

/// An error and what it comes from; what says nothing new is left out.
fn with_sources(mut text: String, mut source: Option<&(dyn std::error::Error + 'static)>) -> String {
    while let Some(error) = source {
        let said = error.to_string();
        if !text.contains(&said) {
            text = if text.is_empty() { said } else { format!("{text}: {said}") };
        }
        source = error.source();
    }
    text
}

/// What is to be done, where it can be told from what was said.
fn remedy(text: &str) -> Option<&'static str> {
    const REMEDIES: &[(&str, &str)] = &[
        ("UnknownIssuer", "[metadata] ca is not the authority of this member's certificate"),
        ("NotValidForName", "this member's certificate doesn't name the host of its URL in [metadata] endpoints"),
        ("certificate expired", "this member's certificate has expired, or a clock is wrong"),
        ("InvalidContentType", "this member talks plain text: write http in [metadata] endpoints"),
        ("CertificateRequired", "this member asks for a certificate: give [metadata] cert and key"),
        ("CertificateUnknown", "this member doesn't believe the certificate in [metadata] cert"),
        ("BadCertificate", "this member asks for a certificate that it believes: see [metadata] cert and key"),
        ("invalid user ID or password", "see [metadata] user and password-file"),
        ("user name is empty", "the cluster asks for a user: give [metadata] user and password-file"),
        ("authentication is not enabled", "the cluster has no users: take [metadata] user and password-file away"),
        ("permission denied", "etcd's role of [metadata] user has to allow it"),
        ("frame with invalid size", "this member may talk TLS: write https in [metadata] endpoints"),
        ("database space exceeded", "the etcd cluster is full: compact and defragment it, then etcdctl alarm disarm"),
    ];
    REMEDIES.iter().find(|(part, _)| text.contains(part)).map(|(_, remedy)| *remedy)
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Trouble> for TruthError {
    fn from(Trouble { kind, text }: Trouble) -> Self {
        match kind {
            Kind::Away | Kind::Stranger => Self::Unreachable(text),
            Kind::Refused | Kind::Compacted => Self::Refused(text),
            Kind::TooLarge | Kind::Unknown => Self::Unknown(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_done_is_told_from_what_was_not() {
        for (code, said, expected) in [
            (14, "etcdserver: no leader", Kind::Away),
            (14, "etcdserver: request timed out", Kind::Unknown),
            (14, "error trying to connect", Kind::Unknown),
            (4, "context deadline exceeded", Kind::Unknown),
            (7, "etcdserver: permission denied", Kind::Refused),
            (3, "etcdserver: request is too large", Kind::Refused),
            (8, "etcdserver: mvcc: database space exceeded", Kind::Refused),
            (16, "etcdserver: invalid auth token", Kind::Stranger),
            (3, "etcdserver: revision of auth store is old: revision in header is old", Kind::Stranger),
            (11, "etcdserver: mvcc: required revision has been compacted", Kind::Compacted),
            (11, "Error, decoded message length too large: found 9 bytes, the limit is: 4 bytes", Kind::TooLarge),
        ] {
            assert_eq!(kind(code, said), expected, "{said}");
        }
    }
}
