//! Stand-ins for the kernel programs in unit tests.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Mutex;

use tokio::net::TcpStream;

use crate::accept::{OriginError, Origins, SessionId, Taken};
use crate::address::{ClientAddr, OrigDst};

/// Says of every connection that it was going to one address.
#[derive(Default)]
pub(crate) struct Direct {
    pub(crate) orig: Option<SocketAddr>,
    pub(crate) session: Option<SessionId>,
    full: bool,
    announced: Mutex<Vec<ClientAddr>>,
}

impl Direct {
    pub(crate) fn to(orig: SocketAddr) -> Self {
        Self { orig: Some(orig), ..Self::default() }
    }

    /// Can't announce anybody.
    pub(crate) fn full() -> Self {
        Self { full: true, ..Self::default() }
    }

    pub(crate) fn announced(&self) -> Vec<ClientAddr> {
        self.announced.lock().expect("no panic while it is held").clone()
    }
}

impl Origins for Direct {
    fn taken(&self, connection: &TcpStream) -> Result<Taken, OriginError> {
        let client = connection.peer_addr()?;
        let orig = self.orig.ok_or(OriginError::NotTaken(client))?;
        Ok(Taken { orig: OrigDst::new(orig), client: ClientAddr::new(client), session: self.session })
    }

    fn announce(&self, _socket: BorrowedFd<'_>, client: ClientAddr) -> io::Result<()> {
        if self.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.announced.lock().expect("no panic while it is held").push(client);
        Ok(())
    }
}

/// A configuration with every default.
pub(crate) fn config() -> crate::config::Config {
    let loaded = crate::config::load::from_text("site = \"Berlin\"\n");
    loaded.expect("a configuration").config
}
