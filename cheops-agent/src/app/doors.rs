//! Where clients' and peers' connections come in. Doors can be closed and opened again; meanwhile connections wait in the
//! listeners.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::store::NAME_PEER;
use crate::accept::Listeners;
use crate::act::{ServePeer, Shared, door};
use crate::peer::Server;

/// Both doors, open or not.
pub struct Doors {
    clients: Option<Arc<Listeners>>,
    peers: Option<Arc<Server>>,
    shared: Arc<Shared>,
    data: Handle,
    open: Option<Open>,
    /// What came in before the doors were closed and opened again.
    earlier: Vec<Came>,
    broken: Arc<AtomicBool>,
}

struct Open {
    stop: CancellationToken,
    clients: Option<JoinHandle<()>>,
    came: Came,
}

/// What came in while the doors were open.
pub struct Came {
    connections: TaskTracker,
    peers: Option<JoinHandle<()>>,
    stop_peers: CancellationToken,
    earlier: Vec<Came>,
}

impl Doors {
    /// Closed doors.
    pub fn new(clients: Option<Listeners>, peers: Option<Arc<Server>>, shared: Arc<Shared>, data: Handle) -> Self {
        Self {
            clients: clients.map(Arc::new),
            peers,
            shared,
            data,
            open: None,
            earlier: Vec::new(),
            broken: Arc::default(),
        }
    }

    /// Lets connections in. Nothing happens when they are open.
    pub fn open(&mut self) {
        if self.open.is_some() {
            return;
        }
        let (stop, stop_peers, connections) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let clients = self.clients.clone().map(|listeners| {
            let run = door::run(listeners, self.shared.clone(), connections.clone(), stop.clone());
            let (stopped, broken) = (stop.clone(), self.broken.clone());
            self.data.spawn(async move {
                // Also when it panics, should that not end the process.
                let mark = Mark { stopped, broken };
                run.await;
                drop(mark);
            })
        });
        let peers = self.peers.clone().map(|server| {
            let (serve, stop) = (Arc::new(ServePeer(self.shared.clone())), stop_peers.clone());
            self.data.spawn(async move { server.run(serve, stop).await })
        });
        self.open = Some(Open { stop, clients, came: Came { connections, peers, stop_peers, earlier: Vec::new() } });
    }

    /// Lets nothing in any more, and gives out what came in so far. With `peers`, peers are told to go, and what they
    /// asked for is finished.
    pub async fn close(&mut self) -> Option<Came> {
        let Open { stop, clients, came } = self.open.take()?;
        stop.cancel();
        if let Some(clients) = clients {
            // Whether it ended or was cancelled, nothing more comes in.
            drop(clients.await);
        }
        came.stop_peers.cancel();
        came.connections.close();
        Some(Came { earlier: std::mem::take(&mut self.earlier), ..came })
    }

    /// Opens them again after all, and keeps what came in before.
    pub fn open_again(&mut self, came: Option<Came>) {
        self.earlier.extend(came);
        self.open();
    }

    /// Tells whether the clients' door is as it should be.
    pub fn watch(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let broken = self.broken.clone();
        move || !broken.load(Ordering::Relaxed)
    }

    /// The listeners by their names in a store.
    ///
    /// # Errors
    /// Without free descriptors.
    pub fn to_keep(&self) -> std::io::Result<Vec<(String, OwnedFd)>> {
        let mut all = self.clients.as_ref().map(|listeners| listeners.to_keep()).transpose()?.unwrap_or_default();
        if let Some(server) = &self.peers {
            all.push((NAME_PEER.to_owned(), server.to_keep()?));
        }
        Ok(all)
    }

    /// Gives the listeners up: a successor has them.
    pub fn leave(&mut self) {
        (self.clients, self.peers) = (None, None);
    }
}

/// The accept loop has no reason to end by itself.
struct Mark {
    stopped: CancellationToken,
    broken: Arc<AtomicBool>,
}

impl Drop for Mark {
    fn drop(&mut self) {
        if !self.stopped.is_cancelled() {
            self.broken.store(true, Ordering::Relaxed);
        }
    }
}

impl Came {
    /// Waits until all of it has ended.
    pub async fn ended(&mut self) {
        self.connections.wait().await;
        if let Some(peers) = &mut self.peers {
            // Whether it ended or was cancelled, it is over.
            drop(peers.await);
        }
        self.peers = None;
        for earlier in &mut self.earlier {
            Box::pin(earlier.ended()).await;
        }
    }
}
