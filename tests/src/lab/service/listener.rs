//! A listener at a host with a thread for each connection.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use socket2::SockRef;

use crate::lab::{Host, lock};

/// Opens a listener where the service is.
pub(in crate::lab) type Listen = dyn Fn(SocketAddr) -> anyhow::Result<TcpListener> + Send + Sync;

type Handler = dyn Fn(TcpStream, SocketAddr) + Send + Sync;

/// Any service over TCP: `handler` is called on a thread for each connection, with the peer's address. For services
/// that aren't HTTP, speak first, or misbehave. Stopped when dropped.
pub struct TcpService {
    listen: Arc<Listen>,
    address: SocketAddr,
    handler: Arc<Handler>,
    running: Option<(TcpListener, JoinHandle<()>)>,
    open: Arc<Mutex<HashMap<usize, TcpStream>>>,
    accepted: Arc<AtomicUsize>,
}

impl TcpService {
    /// Listens at this address of the host; port 0 takes a free one.
    pub fn start(
        host: &Host,
        at: SocketAddr,
        handler: impl Fn(TcpStream, SocketAddr) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let host = host.clone();
        Self::open(Arc::new(move |at| host.listen(at)), at, handler)
    }

    pub(in crate::lab) fn open(
        listen: Arc<Listen>,
        at: SocketAddr,
        handler: impl Fn(TcpStream, SocketAddr) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let mut service = Self {
            listen,
            address: at,
            handler: Arc::new(handler),
            running: None,
            open: Arc::default(),
            accepted: Arc::default(),
        };
        service.restart()?;
        Ok(service)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens (again).
    pub fn restart(&mut self) -> anyhow::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let listener = (self.listen)(self.address)?;
        self.address = listener.local_addr()?;
        let (accepting, handler, open) = (listener.try_clone()?, Arc::clone(&self.handler), Arc::clone(&self.open));
        let count = Arc::clone(&self.accepted);
        let thread = std::thread::spawn(move || {
            while let Ok((stream, peer)) = accepting.accept() {
                let number = count.fetch_add(1, Ordering::Relaxed);
                if let Ok(held) = stream.try_clone() {
                    lock(&open).insert(number, held);
                }
                let (handler, open) = (Arc::clone(&handler), Arc::clone(&open));
                std::thread::spawn(move || {
                    handler(stream, peer);
                    lock(&open).remove(&number);
                });
            }
        });
        self.running = Some((listener, thread));
        Ok(())
    }

    /// Stops listening and closes all connections.
    pub fn stop(&mut self) {
        if let Some((listener, thread)) = self.running.take() {
            _ = SockRef::from(&listener).shutdown(Shutdown::Both);
            drop(listener);
            _ = thread.join();
        }
        self.close_connections();
    }

    /// Closes all open connections.
    pub fn close_connections(&self) {
        for (_, stream) in lock(&self.open).drain() {
            _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for TcpService {
    fn drop(&mut self) {
        self.stop();
    }
}
