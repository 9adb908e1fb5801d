//! A client that sends what it is told, byte for byte, and reads what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// How long a client waits for bytes, unless told otherwise.
const READ: Duration = Duration::from_secs(20);

/// A connection. Every read fails after [`Client::patience`].
pub struct Client {
    stream: TcpStream,
    /// Read and not yet handed out.
    pending: Vec<u8>,
}

/// An HTTP/1 answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// From the status line to the empty line.
    pub head: Vec<u8>,
    /// Without chunking.
    pub body: Vec<u8>,
}

impl Client {
    /// Speaks on `stream`.
    pub fn new(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ))?;
        stream.set_write_timeout(Some(READ))?;
        Ok(Self { stream, pending: Vec::new() })
    }

    /// Waits for this long at most from now on.
    pub fn patience(&mut self, time: Duration) -> anyhow::Result<&mut Self> {
        self.stream.set_read_timeout(Some(time))?;
        Ok(self)
    }

    /// Sends the bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> anyhow::Result<&mut Self> {
        self.stream.write_all(bytes.as_ref()).context("can't send")?;
        Ok(self)
    }

    /// Sends the bytes in pieces of `size`, `pause` apart, so that they arrive as several segments.
    pub fn send_slowly(&mut self, bytes: impl AsRef<[u8]>, size: usize, pause: Duration) -> anyhow::Result<&mut Self> {
        for piece in bytes.as_ref().chunks(size.max(1)) {
            self.send(piece)?;
            std::thread::sleep(pause);
        }
        Ok(self)
    }

    /// Says that no more is sent (FIN), and goes on reading.
    pub fn half_close(&mut self) -> anyhow::Result<&mut Self> {
        self.stream.shutdown(Shutdown::Write).context("can't half-close")?;
        Ok(self)
    }

    /// Ends the connection by a reset (RST).
    pub fn reset(self) -> anyhow::Result<()> {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
        Ok(())
    }

    /// Exactly so many bytes.
    pub fn read_exact(&mut self, count: usize) -> anyhow::Result<Vec<u8>> {
        while self.pending.len() < count {
            if self.fill()? == 0 {
                bail!("closed after {} of {count} bytes: {}", self.pending.len(), show(&self.pending));
            }
        }
        Ok(self.pending.drain(..count).collect())
    }

    /// The bytes up to `end` and with it.
    pub fn read_until(&mut self, end: &[u8]) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.pending.windows(end.len()).position(|window| window == end) {
                return Ok(self.pending.drain(..at + end.len()).collect());
            }
            if self.fill()? == 0 {
                bail!("closed before {}: {}", show(end), show(&self.pending));
            }
        }
    }

    /// All bytes until the other side closes.
    pub fn read_to_end(&mut self) -> anyhow::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.pending))
    }

    /// Some bytes: what is there, or the next that come; none when the other side has closed.
    pub fn read_some(&mut self) -> anyhow::Result<Vec<u8>> {
        if self.pending.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.pending))
    }

    /// Whether the other side resets or closes, rather than sends, within the patience.
    pub fn ends(&mut self) -> anyhow::Result<End> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => Ok(End::Closed),
            Ok(_) => bail!("a byte {:?} came instead of the end", byte),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Ok(End::Reset),
            Err(error) => Err(error).context("no end came"),
        }
    }

    /// Whether nothing comes, neither bytes nor an end, for this long.
    pub fn silent_for(&mut self, time: Duration) -> anyhow::Result<bool> {
        if !self.pending.is_empty() {
            return Ok(false);
        }
        let before = self.stream.read_timeout()?;
        self.stream.set_read_timeout(Some(time))?;
        let silent = match self.stream.peek(&mut [0]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(true),
            Ok(_) | Err(_) => Ok(false),
        };
        self.stream.set_read_timeout(before)?;
        silent
    }

    /// Sends a request and reads the answer to it.
    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> anyhow::Result<Answer> {
        let request = request.as_ref();
        self.send(request)?;
        self.answer_to(request.starts_with(b"HEAD "))
    }

    /// The next answer; interim ones (1xx but 101) are skipped.
    pub fn answer(&mut self) -> anyhow::Result<Answer> {
        self.answer_to(false)
    }

    fn answer_to(&mut self, head_only: bool) -> anyhow::Result<Answer> {
        loop {
            let head = self.read_until(b"\r\n\r\n")?;
            let mut answer = Answer { status: status(&head)?, head, body: Vec::new() };
            match answer.status {
                101 => return Ok(answer),
                100..200 => continue,
                204 | 304 => return Ok(answer),
                _ if head_only => return Ok(answer),
                _ => {}
            }
            answer.body = if answer.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
                self.chunks()?
            } else if let Some(length) = answer.header("content-length") {
                let length = length.parse().with_context(|| format!("Content-Length: {length}"))?;
                self.read_exact(length)?
            } else {
                self.read_to_end()?
            };
            return Ok(answer);
        }
    }

    fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_until(b"\r\n")?;
            let text = String::from_utf8_lossy(&line);
            let size = text.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).with_context(|| format!("a chunk's size {text:?}"))?;
            if size == 0 {
                while self.read_until(b"\r\n")? != b"\r\n" {}
                return Ok(body);
            }
            body.extend(self.read_exact(size)?);
            if self.read_exact(2)? != b"\r\n" {
                bail!("a chunk doesn't end with CRLF");
            }
        }
    }

    fn fill(&mut self) -> anyhow::Result<usize> {
        let mut buffer = [0; 65_536];
        let read = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    bail!("nothing more came in time; so far: {}", show(&self.pending))
                }
                other => break other.with_context(|| format!("after {}", show(&self.pending)))?,
            }
        };
        self.pending.extend(buffer.iter().take(read));
        Ok(read)
    }

    /// The connection itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The connection itself, for what isn't here; bytes that were read ahead are lost.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// This side's address.
    pub fn local(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }
}

/// How the other side ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    Reset,
}

impl Answer {
    /// The last answer that curl printed: interim ones and those before a redirect come first.
    ///
    /// # Errors
    /// When it printed none.
    pub fn last_of(mut printed: &[u8]) -> anyhow::Result<Self> {
        loop {
            let end = printed.windows(4).position(|window| window == b"\r\n\r\n");
            let Some(end) = end else { bail!("no answer: {}", show(printed)) };
            let (head, body) = printed.split_at(end + 4);
            let status = status(head)?;
            let interim = (100..200).contains(&status) && status != 101;
            if !interim && !body.starts_with(b"HTTP/1.") {
                return Ok(Self { status, head: head.to_vec(), body: body.to_vec() });
            }
            printed = body;
        }
    }

    /// The first field of that name, in any case, without surrounding space.
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }

    /// The site whose service answered, by its `X-Lab-Site`.
    pub fn site(&self) -> Option<String> {
        self.header("x-lab-site")
    }
}

/// The first field of that name in a head.
pub(super) fn header(head: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    text.lines().skip(1).take_while(|line| !line.is_empty()).find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

fn status(head: &[u8]) -> anyhow::Result<u16> {
    let text = String::from_utf8_lossy(head);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.with_context(|| format!("no status line: {text:?}"))
}

/// Bytes for an error's text.
fn show(bytes: &[u8]) -> String {
    let end = bytes.len().min(300);
    format!("{} bytes {:?}", bytes.len(), String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()))
}
