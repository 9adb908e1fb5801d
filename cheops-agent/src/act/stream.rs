//! What an exchange or a tunnel may run over.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A stream of bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// The connection whose bytes these are, if nothing stands between: they can then go on without being copied.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

impl Stream for TcpStream {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl Stream for crate::peer::ServerStream {}

#[cfg(test)]
impl Stream for tokio::io::DuplexStream {}
