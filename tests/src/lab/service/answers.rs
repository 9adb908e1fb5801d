//! The answers of a recording service, by path.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use super::Recorded;
use super::request::{Reader, path};

const WORDS: &[&str] =
    &["echo", "bytes", "slow", "sse", "status", "chunked", "interim", "upgrade", "close", "reset", "silent"];

/// One answer being written.
struct Writer<'a> {
    stream: &'a TcpStream,
    site: &'a str,
    head_only: bool,
}

/// Answers; whether the connection goes on.
pub(super) fn answer(
    stream: &TcpStream,
    reader: &mut Reader<'_>,
    request: &Recorded,
    service: &str,
    site: &str,
) -> std::io::Result<bool> {
    let line = request.line();
    let method = line.split(' ').next().unwrap_or_default();
    let path = path(request);
    let (word, arguments) = known(&path);
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let writer = Writer { stream, site, head_only: method == "HEAD" };
    let says = format!("{site}\n");
    match word {
        "echo" => writer.whole("200 OK", "application/octet-stream", &request.raw)?,
        "bytes" => writer.pattern(number(0))?,
        "slow" => {
            std::thread::sleep(Duration::from_millis(number(0)));
            writer.whole("200 OK", "text/plain", says.as_bytes())?;
        }
        "sse" => writer.events(number(0), Duration::from_millis(number(1)))?,
        "status" => writer.status(number(0), says.as_bytes())?,
        "chunked" => writer.chunked()?,
        "interim" => {
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")?;
            writer.whole("200 OK", "text/plain", says.as_bytes())?;
        }
        "upgrade" => {
            writer.head("101 Switching Protocols", "Connection: Upgrade\r\nUpgrade: lab-echo\r\n")?;
            return tunnel(stream, reader).map(|()| false);
        }
        "close" => {
            writer.head("200 OK", "Content-Type: text/plain\r\nConnection: close\r\n")?;
            return writer.body(says.as_bytes()).map(|()| false);
        }
        "reset" => return reset(stream).map(|()| false),
        "silent" => {
            while reader.next()?.is_some() {}
            return Ok(false);
        }
        _ => {
            let body = json!({ "site": site, "service": service, "method": method, "path": path });
            writer.whole("200 OK", "application/json", format!("{body}\n").as_bytes())?;
        }
    }
    Ok(!request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
        && !line.ends_with("HTTP/1.0"))
}

/// The last known word of a path, and what follows it.
fn known(path: &str) -> (&str, Vec<&str>) {
    let mut words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    match words.iter().rposition(|word| WORDS.contains(word)) {
        Some(at) => {
            let arguments = words.split_off(at + 1);
            (words.pop().unwrap_or_default(), arguments)
        }
        None => ("", Vec::new()),
    }
}

impl Writer<'_> {
    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut stream = self.stream;
        stream.write_all(bytes)
    }

    fn head(&self, status: &str, fields: &str) -> std::io::Result<()> {
        self.write(format!("HTTP/1.1 {status}\r\nX-Lab-Site: {}\r\n{fields}\r\n", self.site).as_bytes())
    }

    fn body(&self, bytes: &[u8]) -> std::io::Result<()> {
        if self.head_only { Ok(()) } else { self.write(bytes) }
    }

    fn whole(&self, status: &str, kind: &str, body: &[u8]) -> std::io::Result<()> {
        self.head(status, &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len()))?;
        self.body(body)
    }

    fn pattern(&self, count: u64) -> std::io::Result<()> {
        self.head("200 OK", &format!("Content-Type: application/octet-stream\r\nContent-Length: {count}\r\n"))?;
        let piece: Vec<u8> = (0..26 * 2520).map(|at| b'a' + (at % 26) as u8).collect();
        let mut left = usize::try_from(count).unwrap_or(usize::MAX);
        while left > 0 && !self.head_only {
            let now = left.min(piece.len());
            self.write(piece.get(..now).unwrap_or_default())?;
            left -= now;
        }
        Ok(())
    }

    fn status(&self, status: u64, body: &[u8]) -> std::io::Result<()> {
        match status {
            204 | 304 => self.head(&format!("{status} Lab"), ""),
            _ => self.whole(&format!("{status} Lab"), "text/plain", body),
        }
    }

    fn chunk(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend(bytes);
        chunk.extend(b"\r\n");
        self.body(&chunk)
    }

    fn chunked(&self) -> std::io::Result<()> {
        self.head("200 OK", "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\nTrailer: X-Lab-End\r\n")?;
        self.chunk(b"one ")?;
        self.chunk(b"two ")?;
        self.chunk(format!("{}\n", self.site).as_bytes())?;
        self.body(b"0\r\nX-Lab-End: yes\r\n\r\n")
    }

    fn events(&self, count: u64, pause: Duration) -> std::io::Result<()> {
        let fields = "Content-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n";
        self.head("200 OK", fields)?;
        for number in 1..=count {
            self.chunk(format!("data: {number} {}\n\n", self.site).as_bytes())?;
            std::thread::sleep(pause);
        }
        self.body(b"0\r\n\r\n")
    }
}

/// Echoes until the client half-closes.
fn tunnel(mut stream: &TcpStream, reader: &mut Reader<'_>) -> std::io::Result<()> {
    stream.write_all(&reader.take_rest())?;
    let mut buffer = [0; 65_536];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return stream.shutdown(std::net::Shutdown::Write);
        }
        stream.write_all(buffer.get(..read).unwrap_or_default())?;
    }
}

/// Makes the connection end by a reset once it is dropped.
pub(super) fn reset(stream: &TcpStream) -> std::io::Result<()> {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))
}
