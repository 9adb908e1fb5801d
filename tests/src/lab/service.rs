//! A service at a site: answers by path, and records what it was sent, byte for byte.

mod answers;
mod listener;
mod request;

use std::collections::HashMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;

use listener::Listen;
pub use listener::TcpService;
use request::Reader;

use super::host::Host;
use super::{eventually, lock};

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Head and body with their framing, to the last byte.
    pub raw: Vec<u8>,
    /// Who sent it, as `getpeername` says.
    pub peer: SocketAddr,
    /// Which of the service's connections, from 1.
    pub connection: usize,
    /// Whether all of it arrived.
    pub complete: bool,
}

impl Recorded {
    /// The request line.
    pub fn line(&self) -> String {
        let end = self.raw.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(self.raw.len());
        String::from_utf8_lossy(self.raw.get(..end).unwrap_or_default()).into_owned()
    }

    /// The head, with its empty line.
    pub fn head(&self) -> &[u8] {
        let end = self.raw.windows(4).position(|window| window == b"\r\n\r\n").map_or(self.raw.len(), |at| at + 4);
        self.raw.get(..end).unwrap_or_default()
    }

    /// What follows the head, with its framing.
    pub fn body(&self) -> &[u8] {
        self.raw.get(self.head().len()..).unwrap_or_default()
    }

    /// The first field of that name.
    pub fn header(&self, name: &str) -> Option<String> {
        super::client::header(self.head(), name)
    }
}

/// What a scripted answer does with the connection afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Keep,
    Close,
    Reset,
}

/// Bytes to answer with, instead of the service's own.
#[derive(Clone, Debug)]
pub struct Scripted {
    pub bytes: Vec<u8>,
    pub then: Then,
}

type Script = dyn Fn(&Recorded) -> Option<Scripted> + Send + Sync;

/// A recording HTTP/1 service. Stopped when dropped.
///
/// It answers by the path's last known word: `/echo` (the request as it arrived), `/bytes/N`, `/slow/MS`,
/// `/sse/N/MS` (N events MS apart), `/status/NNN`, `/chunked` (with a trailer), `/interim` (103 first), `/upgrade` (101,
/// then echoes), `/close` (body until the end of the connection), `/reset`, `/silent` (no answer). Any other path gets
/// 200 and JSON with `site`, `service`, `method`, `path`. Every answer has `X-Lab-Site`, and every text body says the site.
pub struct Service {
    shared: Arc<Shared>,
    listeners: Vec<TcpService>,
}

struct Shared {
    name: String,
    site: String,
    recorded: Mutex<Vec<Recorded>>,
    connections: AtomicUsize,
    scripts: Mutex<Scripts>,
}

#[derive(Default)]
struct Scripts {
    by_path: HashMap<String, Scripted>,
    script: Option<Arc<Script>>,
}

impl Service {
    /// Serves at these addresses of the host.
    pub fn start(host: &Host, name: &str, at: &[SocketAddr]) -> anyhow::Result<Self> {
        let (site, host) = (host.site().to_owned(), host.clone());
        Self::open(&site, name, at, Arc::new(move |at| host.listen(at)))
    }

    pub(super) fn open(site: &str, name: &str, at: &[SocketAddr], listen: Arc<Listen>) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            site: site.to_owned(),
            recorded: Mutex::default(),
            connections: AtomicUsize::new(0),
            scripts: Mutex::default(),
        });
        let listeners = at.iter().map(|address| {
            let (shared, listen) = (Arc::clone(&shared), Arc::clone(&listen));
            TcpService::open(listen, *address, move |stream, peer| _ = shared.serve(&stream, peer))
        });
        let listeners = listeners.collect::<anyhow::Result<_>>()?;
        Ok(Self { shared, listeners })
    }

    /// All requests until now, in the order in which they ended.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.recorded).clone()
    }

    /// Waits for at least so many requests, and gives all.
    pub fn wait_for(&self, count: usize, within: Duration) -> anyhow::Result<Vec<Recorded>> {
        if !eventually(within, || lock(&self.shared.recorded).len() >= count) {
            bail!(
                "{} at {} has {} requests, not {count}: {:?}",
                self.shared.name,
                self.shared.site,
                self.requests().len(),
                self.requests().iter().map(Recorded::line).collect::<Vec<_>>()
            );
        }
        Ok(self.requests())
    }

    /// Forgets all requests, and gives them.
    pub fn take_requests(&self) -> Vec<Recorded> {
        std::mem::take(&mut *lock(&self.shared.recorded))
    }

    /// Connections accepted until now.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// From now on answers requests for this path (without query) with these bytes.
    pub fn script(&self, path: &str, bytes: impl Into<Vec<u8>>, then: Then) {
        let scripted = Scripted { bytes: bytes.into(), then };
        lock(&self.shared.scripts).by_path.insert(path.to_owned(), scripted);
    }

    /// From now on asks `script` first; when it gives nothing, the service answers as usual.
    pub fn script_all(&self, script: impl Fn(&Recorded) -> Option<Scripted> + Send + Sync + 'static) {
        lock(&self.shared.scripts).script = Some(Arc::new(script));
    }

    /// Where it serves.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(TcpService::address).collect()
    }

    /// Stops listening, and closes all connections. The record stays.
    pub fn stop(&mut self) {
        for listener in &mut self.listeners {
            listener.stop();
        }
    }

    /// Listens again at the same addresses.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.listeners.iter_mut().try_for_each(TcpService::restart)
    }

    /// Closes all open connections and goes on listening.
    pub fn close_connections(&self) {
        for listener in &self.listeners {
            listener.close_connections();
        }
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream, peer: SocketAddr) -> std::io::Result<()> {
        let connection = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
        stream.set_nodelay(true)?;
        let mut reader = Reader::new(stream);
        loop {
            let read = reader.next();
            let (raw, complete) = match read {
                Ok(Some(raw)) => (raw, true),
                Ok(None) | Err(_) => (reader.take_rest(), false),
            };
            if raw.is_empty() {
                return Ok(());
            }
            let request = Recorded { raw, peer, connection, complete };
            lock(&self.recorded).push(request.clone());
            if !complete {
                return Ok(());
            }
            let goes_on = match self.scripted(&request) {
                Some(scripted) => play(stream, &scripted)?,
                None => answers::answer(stream, &mut reader, &request, &self.name, &self.site)?,
            };
            if !goes_on {
                return Ok(());
            }
        }
    }

    fn scripted(&self, request: &Recorded) -> Option<Scripted> {
        let (script, by_path) = {
            let scripts = lock(&self.scripts);
            (scripts.script.clone(), scripts.by_path.get(&request::path(request)).cloned())
        };
        script.and_then(|script| script(request)).or(by_path)
    }
}

fn play(mut stream: &TcpStream, scripted: &Scripted) -> std::io::Result<bool> {
    stream.write_all(&scripted.bytes)?;
    if scripted.then == Then::Reset {
        answers::reset(stream)?;
    }
    Ok(scripted.then == Then::Keep)
}
