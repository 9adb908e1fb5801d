//! The clients. None sends anything twice: what fails has failed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;

use super::message::{Head, Reader, sum};
use super::service::STREAMED;
use super::{Clients, Scope, now, orders, say};
use crate::lab::lock;

/// How many clients of each kind there are.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Kinds {
    /// Keep their connection as long as the answers let them.
    pub keeping: usize,
    /// Make a new connection for each request.
    pub fresh: usize,
    /// Read answers that take a while.
    pub streaming: usize,
    /// Have left HTTP, and say something all the time.
    pub tunnels: usize,
}

/// How the clients fared.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fared {
    /// Requests that were begun.
    pub begun: u64,
    /// Requests whose answer was right.
    pub right: u64,
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<Failure>,
    /// Answers to scoped requests that no agent had marked.
    pub bypassed: u64,
    /// Answers to other requests that an agent had marked.
    pub marked: u64,
    /// Answers that said that the connection closes.
    pub closing: u64,
    /// The longest that a request took. Milliseconds.
    pub slowest: u64,
    /// What tunnels have carried there and back.
    pub echoes: u64,
    /// Tunnels that broke, or could not be opened; each is opened again.
    pub broken: u64,
}

/// A request that failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    pub id: String,
    pub why: String,
    /// See [`now`].
    pub began: u64,
    pub ended: u64,
}

/// Failures that are told of.
const TOLD: usize = 200;

struct Crowd {
    clients: Clients,
    fared: Mutex<Fared>,
    next: AtomicU64,
    over: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Keeping,
    Fresh,
    Streaming,
}

pub(super) async fn run(clients: Clients) -> anyhow::Result<()> {
    let kinds = clients.kinds;
    let crowd =
        Arc::new(Crowd { clients, fared: Mutex::default(), next: AtomicU64::new(0), over: AtomicBool::new(false) });
    let mut tasks = JoinSet::new();
    let each = [(Kind::Keeping, kinds.keeping), (Kind::Fresh, kinds.fresh), (Kind::Streaming, kinds.streaming)];
    for (kind, count) in each {
        for _ in 0..count {
            tasks.spawn(crowd.clone().client(kind));
        }
    }
    for _ in 0..kinds.tunnels {
        tasks.spawn(crowd.clone().tunnels());
    }
    say(&"ready")?;
    let mut orders = orders();
    while let Some(order) = orders.recv().await {
        if order == "finish" {
            crowd.over.store(true, Ordering::Relaxed);
            while tasks.join_next().await.is_some() {}
        }
        let fared = lock(&crowd.fared).clone();
        say(&fared)?;
    }
    Ok(())
}

/// A client's connection.
struct Connection {
    reader: Reader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Crowd {
    fn patience(&self) -> Duration {
        Duration::from_millis(self.clients.patience)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn id(&self) -> String {
        format!("{}-{}", self.clients.name, self.next.fetch_add(1, Ordering::Relaxed))
    }

    async fn client(self: Arc<Self>, kind: Kind) {
        let mut connection = None;
        while !self.is_over() {
            let id = self.id();
            let began = now();
            lock(&self.fared).begun += 1;
            let exchange = self.exchange(kind, &id, connection.take());
            match tokio::time::timeout(self.patience(), exchange).await {
                Ok(Ok(kept)) => {
                    connection = kept;
                    let mut fared = lock(&self.fared);
                    fared.right += 1;
                    fared.slowest = fared.slowest.max(now() - began);
                }
                Ok(Err(error)) => self.failed(id, format!("{error:#}"), began),
                Err(_) => self.failed(id, "no answer in time".to_owned(), began),
            }
            let rest = rand::random_range(0..=self.clients.rest * 2);
            tokio::time::sleep(Duration::from_millis(rest)).await;
        }
    }

    fn failed(&self, id: String, why: String, began: u64) {
        lock(&self.fared).failed += 1;
        self.tell(id, why, began);
    }

    fn tell(&self, id: String, why: String, began: u64) {
        let mut fared = lock(&self.fared);
        if fared.failures.len() < TOLD {
            fared.failures.push(Failure { id, why, began, ended: now() });
        }
    }

    /// One request; the connection, if it goes on.
    async fn exchange(
        &self,
        kind: Kind,
        id: &str,
        connection: Option<Connection>,
    ) -> anyhow::Result<Option<Connection>> {
        let used = connection.is_some();
        let mut connection = match connection {
            Some(connection) => connection,
            None => self.connect().await.context("connecting")?,
        };
        let (request, body) = self.request(kind, id);
        connection.write.write_all(&request).await.with_context(|| format!("sending (used: {used})"))?;
        let head = connection.reader.head().await.with_context(|| format!("awaiting the answer (used: {used})"))?;
        let head = head.with_context(|| format!("closed instead of an answer (used: {used})"))?;
        let answer = connection.reader.body(&head).await.context("reading the answer")?;
        ensure!(head.line.contains(" 200 "), "{}: {}", head.line, String::from_utf8_lossy(&answer));
        let expected = match kind {
            Kind::Streaming => id.repeat(STREAMED),
            Kind::Keeping | Kind::Fresh => format!("{id} {} {:x}", body.len(), sum(&body)),
        };
        ensure!(answer == expected.as_bytes(), "the answer is {:?}", String::from_utf8_lossy(&answer));
        self.look_for_marks(&head);
        Ok((kind == Kind::Keeping && !head.closes()).then_some(connection))
    }

    fn look_for_marks(&self, head: &Head) {
        let marked = head.has_any("x-cheops-");
        let mut fared = lock(&self.fared);
        match self.clients.scope {
            Scope::None => fared.marked += u64::from(marked),
            Scope::Header(_) | Scope::Session => fared.bypassed += u64::from(!marked),
        }
        fared.closing += u64::from(head.closes());
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.clients.to).await?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        Ok(Connection { reader: Reader::new(read), write })
    }

    /// The whole request, and its body by itself.
    fn request(&self, kind: Kind, id: &str) -> (Vec<u8>, Vec<u8>) {
        let scope = match &self.clients.scope {
            Scope::Header(scope) => format!("X-Scope: {scope}\r\n"),
            Scope::None | Scope::Session => String::new(),
        };
        let connection = if kind == Kind::Fresh { "Connection: close\r\n" } else { "" };
        let fields = format!("Host: app\r\nX-Lab-Id: {id}\r\n{scope}{connection}");
        if kind == Kind::Streaming {
            return (format!("GET /stream HTTP/1.1\r\n{fields}\r\n").into_bytes(), Vec::new());
        }
        let body: Vec<u8> = match rand::random_range(0..3) {
            0 => return (format!("GET /item HTTP/1.1\r\n{fields}\r\n").into_bytes(), Vec::new()),
            _ => (0..rand::random_range(1..20_000_u32)).map(|at| (at % 251) as u8).collect(),
        };
        let mut request = format!("POST /items HTTP/1.1\r\n{fields}").into_bytes();
        if rand::random() {
            request.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
            request.extend(&body);
        } else {
            request.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(3000) {
                request.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                request.extend(chunk);
                request.extend(b"\r\n");
            }
            request.extend(b"0\r\n\r\n");
        }
        (request, body)
    }

    /// One tunnel after the other; each lives as long as it is let.
    async fn tunnels(self: Arc<Self>) {
        while !self.is_over() {
            let (id, began) = (self.id(), now());
            lock(&self.fared).begun += 1;
            if let Err(error) = self.tunnel(&id).await {
                lock(&self.fared).broken += 1;
                self.tell(id, format!("tunnel: {error:#}"), began);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    async fn tunnel(&self, id: &str) -> anyhow::Result<()> {
        let mut connection = self.connect().await.context("connecting")?;
        let asks = format!(
            "GET /tunnel HTTP/1.1\r\nHost: app\r\nX-Lab-Id: {id}\r\nConnection: Upgrade\r\nUpgrade: lab\r\n\r\n"
        );
        connection.write.write_all(asks.as_bytes()).await?;
        let head = tokio::time::timeout(self.patience(), connection.reader.head()).await??.context("closed")?;
        ensure!(head.line.contains(" 101 "), "{}", head.line);
        lock(&self.fared).right += 1;
        for number in 0_u64.. {
            if self.is_over() {
                return Ok(());
            }
            connection.write.write_all(&number.to_be_bytes()).await?;
            let back = tokio::time::timeout(self.patience(), connection.reader.exactly(8)).await?;
            if back? != number.to_be_bytes() {
                bail!("{number} came back wrong");
            }
            lock(&self.fared).echoes += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
