//! The kernel programs, or their absence.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::accept::{OriginError, Origins, Taken};
use crate::address::ClientAddr;
use crate::kernel::{Interceptor, KernelError};
use crate::metadata::Guard;

/// How connections are taken.
#[derive(Clone)]
pub enum Capture {
    /// `intercept.mode = "off"`: nothing is.
    Off,
    Ebpf(Arc<Interceptor>),
}

impl Capture {
    /// Makes `guards` the set of addresses that are taken.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn guard(&self, guards: &[Guard]) -> Result<(), KernelError> {
        match self {
            Capture::Off => Ok(()),
            Capture::Ebpf(interceptor) => interceptor.guard(guards),
        }
    }

    /// The mark of the agent's own connections.
    pub fn mark(&self) -> Option<u32> {
        match self {
            Capture::Off => None,
            Capture::Ebpf(interceptor) => Some(interceptor.mark()),
        }
    }

    /// What is loaded and where it is attached.
    pub fn facts(&self) -> serde_json::Value {
        match self {
            Capture::Off => serde_json::Value::Null,
            Capture::Ebpf(interceptor) => interceptor.facts(),
        }
    }

    /// Original destinations.
    pub fn origins(&self) -> Arc<dyn Origins> {
        match self {
            Capture::Off => Arc::new(NothingTaken),
            Capture::Ebpf(interceptor) => interceptor.clone(),
        }
    }
}

/// Origins where no connection is ever taken.
struct NothingTaken;

impl Origins for NothingTaken {
    fn taken(&self, connection: &TcpStream) -> Result<Taken, OriginError> {
        Err(OriginError::NotTaken(connection.peer_addr()?))
    }

    fn announce(&self, _socket: BorrowedFd<'_>, _client: ClientAddr) -> io::Result<()> {
        Ok(())
    }
}
