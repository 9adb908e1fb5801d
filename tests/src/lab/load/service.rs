//! The service that counts.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::message::{Head, Reader, sum};
use super::{Ids, orders, say};
use crate::lab::lock;

/// What the service was sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Ids.
    pub requests: usize,
    /// Ids that came more than once; the first of them.
    pub twice: Vec<String>,
    /// Ids that came with a scope, which an agent would have taken out; the first of them.
    pub unscoped: Vec<String>,
    pub connections: usize,
}

#[derive(Default)]
struct Seen {
    ids: Ids,
    unscoped: Vec<String>,
    connections: usize,
}

pub(super) async fn serve(at: SocketAddr) -> anyhow::Result<()> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    let listener = socket.listen(4096)?;
    let seen = Arc::<Mutex<Seen>>::default();
    tokio::spawn(accept(listener, seen.clone()));
    say(&"ready")?;
    let mut orders = orders();
    while orders.recv().await.is_some() {
        say(&counted(&lock(&seen)))?;
    }
    Ok(())
}

fn counted(seen: &Seen) -> Counted {
    let twice = seen.ids.iter().filter(|(_, count)| **count > 1).map(|(id, _)| id.clone());
    Counted {
        requests: seen.ids.len(),
        twice: twice.take(20).collect(),
        unscoped: seen.unscoped.iter().take(20).cloned().collect(),
        connections: seen.connections,
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Seen>>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            lock(&seen).connections += 1;
            let seen = seen.clone();
            // A client that goes, or sends nonsense, is counted by what it sent before.
            tokio::spawn(async move { _ = requests(stream, &seen).await });
        }
    }
}

async fn requests(mut stream: TcpStream, seen: &Mutex<Seen>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut reader = Reader::new(read);
    while let Some(head) = reader.head().await? {
        let body = reader.body(&head).await?;
        let id = head.get("x-lab-id").context("no id")?.to_owned();
        count(seen, &id, &head);
        let path = head.line.split(' ').nth(1).unwrap_or_default();
        let closes = head.closes();
        let connection = if closes { "Connection: close\r\n" } else { "" };
        if path == "/tunnel" {
            write.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lab\r\n\r\n").await?;
            return echo(reader, write).await;
        }
        if path == "/stream" {
            let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{connection}\r\n");
            write.write_all(head.as_bytes()).await?;
            for _ in 0..STREAMED {
                tokio::time::sleep(BETWEEN).await;
                write.write_all(format!("{:x}\r\n{id}\r\n", id.len()).as_bytes()).await?;
            }
            write.write_all(b"0\r\n\r\n").await?;
        } else {
            let text = format!("{id} {} {:x}", body.len(), sum(&body));
            let length = text.len();
            write
                .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{connection}\r\n{text}").as_bytes())
                .await?;
        }
        if closes {
            return Ok(());
        }
    }
    Ok(())
}

/// Pieces of a streamed answer.
pub(super) const STREAMED: usize = 10;
/// Between two of them.
const BETWEEN: Duration = Duration::from_millis(30);

fn count(seen: &Mutex<Seen>, id: &str, head: &Head) {
    let mut seen = lock(seen);
    *seen.ids.entry(id.to_owned()).or_default() += 1;
    if head.get("x-scope").is_some() {
        seen.unscoped.push(id.to_owned());
    }
}

async fn echo<R, W>(mut reader: Reader<R>, mut write: W) -> anyhow::Result<()>
where
    R: tokio::io::AsyncRead + Unpin,
    W: tokio::io::AsyncWrite + Unpin,
{
    loop {
        let eight = reader.exactly(8).await?;
        write.write_all(&eight).await?;
    }
}
