//! Small services, good and bad.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What a service does with each request.
#[derive(Clone)]
pub(super) enum Does {
    Answers(&'static str),
    /// Answers by the request's head.
    Says(Arc<dyn Fn(&str) -> String + Send + Sync>),
    /// Answers with the request's body.
    Echoes,
    /// Reads the request, and never answers.
    Hangs,
    /// Reads the request's head, and resets the connection.
    Dies,
    /// Answers the first half, and resets the connection once it is told that the client has it.
    DiesHalfway(Arc<Notify>),
    /// 101, then sends back what comes.
    Upgrades,
}

/// A small HTTP server that keeps what it was sent.
pub(super) struct Small {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Small {
    pub(super) async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let kept = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, does.clone(), kept.clone()));
            }
        });
        Self { address, seen, task }
    }

    /// The requests so far, as text.
    pub(super) fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().expect("no panic");
        seen.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// Refuses connections from now on.
    pub(super) async fn stop(&mut self) {
        self.task.abort();
        assert!((&mut self.task).await.is_err());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, does: Does, kept: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut read = Vec::new();
    while !read.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = read.windows(4).position(|four| four == b"\r\n\r\n").expect("an end") + 4;
    let number = {
        let mut kept = kept.lock().expect("no panic");
        kept.push(read.clone());
        kept.len() - 1
    };
    if matches!(does, Does::Dies) {
        return reset(stream);
    }
    let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    while read.len() < head + length.unwrap_or(0) {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    }
    kept.lock().expect("no panic")[number] = read.clone();
    let answer = match does {
        Does::Answers(answer) => answer.as_bytes().to_vec(),
        Does::Says(ref says) => says(&String::from_utf8_lossy(&read[..head])).into_bytes(),
        Does::Echoes => {
            let body = &read[head..];
            [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
        }
        Does::DiesHalfway(_) => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec(),
        Does::Upgrades => {
            let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";
            stream.write_all(answer).await.expect("written");
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await.expect("copied");
            return to.shutdown().await.expect("shut down");
        }
        Does::Hangs | Does::Dies => std::future::pending().await,
    };
    if stream.write_all(&answer).await.is_err() {
        return;
    }
    if let Does::DiesHalfway(arrived) = does {
        // A reset would take away what wasn't read yet.
        arrived.notified().await;
        return reset(stream);
    }
    // Kept open, as servers do.
    let _ended = stream.read(&mut [0]).await;
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
}
