//! Why a peer's connection ended badly, and as what it is counted.

use crate::peer::counters::Count;
use crate::peer::trust::{IdentityError, PeerIdentity};

/// Why a peer's connection ended badly.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("this host hasn't joined a federation")]
    NotJoined,
    #[error("no handshake in time")]
    Slow,
    #[error("TLS: {0}")]
    Tls(std::io::Error),
    #[error("{0}")]
    Identity(#[from] IdentityError),
    #[error("its certificate is of the federation {0}")]
    Federation(String),
    #[error("HTTP/2: {0}")]
    Http2(#[from] h2::Error),
    #[error("{0}")]
    Silent(String),
    #[error("the certificate of {0} was revoked, or its authority is not believed any more")]
    NoMember(PeerIdentity),
}

impl ConnectionError {
    pub(super) fn count(&self) -> Count {
        match self {
            Self::NotJoined => Count::NotJoined,
            Self::Slow | Self::Tls(_) => Count::HandshakeFailed,
            Self::Identity(_) | Self::Federation(_) => Count::WrongIdentity,
            Self::Http2(error) if error.is_io() => Count::LinkLost,
            Self::Http2(_) => Count::ProtocolError,
            Self::Silent(_) => Count::LinkLost,
            Self::NoMember(_) => Count::Revoked,
        }
    }
}
