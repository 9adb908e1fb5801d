//! The bench's own client and sink: processes of their own, so that kernel programs see their connections as anybody's.

use std::io::{BufRead, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::net::RecvFlags;
use serde::{Deserialize, Serialize};

use crate::head;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// What such a process does.
#[derive(clap::Subcommand)]
pub enum Work {
    /// Connections one after the other, each for one request.
    Fresh { to: SocketAddr, count: u32 },
    /// Connections that stay after one request, until standard input ends.
    Idle { to: SocketAddr, count: u32 },
    /// One request with a body of that many bytes.
    Upload { to: SocketAddr, bytes: u64 },
    /// Takes bodies, throws them away, and answers.
    Sink { at: SocketAddr },
}

/// What a process found. Times are in microseconds.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Found {
    pub micros: u64,
    pub p50: f64,
    pub p99: f64,
}

/// Does the work; the last line on standard output is a [`Found`].
pub fn work(work: &Work) -> anyhow::Result<()> {
    let found = match work {
        Work::Fresh { to, count } => fresh(*to, *count)?,
        Work::Idle { to, count } => return idle(*to, *count),
        Work::Upload { to, bytes } => upload(*to, *bytes)?,
        Work::Sink { at } => return sink(*at),
    };
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

/// The clock runs from before the connection is made until after it is closed.
fn fresh(to: SocketAddr, count: u32) -> anyhow::Result<Found> {
    let request = head::request("GET", "/v1/servers", to, None);
    let mut times = Vec::new();
    let mut all = 0;
    for _ in 0..count {
        let begin = Instant::now();
        let mut stream = connect(to)?;
        stream.write_all(request.as_bytes())?;
        answer(&mut stream)?;
        drop(stream);
        let took = begin.elapsed();
        all += took.as_micros() as u64;
        times.push(took.as_nanos() as f64 / 1e3);
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times.get((times.len().saturating_sub(1) as f64 * part).round() as usize).copied();
    Ok(Found { micros: all, p50: at(0.50).unwrap_or_default(), p99: at(0.99).unwrap_or_default() })
}

fn idle(to: SocketAddr, count: u32) -> anyhow::Result<()> {
    let request = head::request("GET", "/v1/servers", to, None);
    let mut open = Vec::new();
    for number in 0..count {
        let mut stream = connect(to).with_context(|| format!("connection {number}"))?;
        stream.write_all(request.as_bytes())?;
        answer(&mut stream).with_context(|| format!("connection {number}"))?;
        open.push(stream);
    }
    println!("open");
    std::io::stdout().flush()?;
    std::io::stdin().lock().read_line(&mut String::new())?;
    // All of them must still have been there.
    for stream in &open {
        stream.set_nonblocking(true)?;
        match stream.peek(&mut [0]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            other => bail!("an idle connection didn't stay: {other:?}"),
        }
    }
    println!("stayed");
    Ok(())
}

fn upload(to: SocketAddr, bytes: u64) -> anyhow::Result<Found> {
    let piece = vec![b'x'; 256 * 1024];
    let begin = Instant::now();
    let mut stream = connect(to)?;
    stream.write_all(head::request("POST", "/upload", to, Some(bytes)).as_bytes())?;
    let mut left = bytes;
    while left > 0 {
        let part = piece.get(..left.min(piece.len() as u64) as usize).unwrap_or(&piece);
        stream.write_all(part)?;
        left -= part.len() as u64;
    }
    let body = answer(&mut stream)?;
    if body != bytes.to_string().as_bytes() {
        bail!("{bytes} bytes were sent, and {:?} arrived", String::from_utf8_lossy(&body));
    }
    Ok(Found { micros: begin.elapsed().as_micros() as u64, ..Found::default() })
}

/// Answers with the number of bytes that it took. They are dropped in the kernel (`MSG_TRUNC`), so that the sink's own cost
/// hides no proxy's.
fn sink(at: SocketAddr) -> anyhow::Result<()> {
    for stream in TcpListener::bind(at)?.incoming() {
        let mut stream = stream?;
        // A proxy keeps its connections; one that breaks off is the other side's matter.
        std::thread::spawn(move || while matches!(take(&mut stream), Ok(true)) {});
    }
    Ok(())
}

fn take(stream: &mut TcpStream) -> anyhow::Result<bool> {
    let (head, early) = read_head(stream)?;
    if head.is_empty() {
        return Ok(false);
    }
    let length = length(&head)?;
    let mut left = length.saturating_sub(early.len() as u64);
    let mut room = vec![0_u8; 1 << 20];
    while left > 0 {
        let part = room.get_mut(..left.min(1 << 20) as usize).context("no room")?;
        let (_, got) = rustix::net::recv(&*stream, part, RecvFlags::TRUNC)?;
        if got == 0 {
            return Ok(false);
        }
        left -= got as u64;
    }
    let body = length.to_string();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    Ok(true)
}

fn connect(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(to).with_context(|| format!("can't connect to {to}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER))?;
    Ok(stream)
}

/// The body of a 200 with a `Content-Length`.
fn answer(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let (head, mut body) = read_head(stream)?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("the answer is {head:?}");
    }
    let length = length(&head)? as usize;
    let had = body.len();
    body.resize(length.max(had), 0);
    stream.read_exact(body.get_mut(had..).unwrap_or_default())?;
    Ok(body)
}

/// A head, and what came with it; empty when the other side closed before it.
fn read_head(stream: &mut TcpStream) -> anyhow::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8(bytes)?, rest));
        }
        match stream.read(&mut piece)? {
            0 if bytes.is_empty() => return Ok((String::new(), bytes)),
            0 => bail!("closed within a head"),
            got => bytes.extend_from_slice(piece.get(..got).unwrap_or_default()),
        }
    }
}

fn length(head: &str) -> anyhow::Result<u64> {
    let values = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = values.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, value) = lengths.next().with_context(|| format!("no Content-Length: {head:?}"))?;
    Ok(value.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_found_in_any_case() -> anyhow::Result<()> {
        assert_eq!(length("HTTP/1.1 200 OK\r\ncontent-LENGTH: 12\r\n\r\n")?, 12);
        assert!(length("HTTP/1.1 200 OK\r\n\r\n").is_err());
        Ok(())
    }
}
