//! Reading requests, keeping every byte.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::TcpStream;

use super::Recorded;
use crate::lab::client::header;

/// Longer heads are taken for something that isn't HTTP.
const HEAD: usize = 1 << 20;

pub(super) struct Reader<'a> {
    stream: &'a TcpStream,
    pending: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(stream: &'a TcpStream) -> Self {
        Self { stream, pending: Vec::new() }
    }

    /// The next request as it arrived; none when the connection ends before it is whole.
    pub(super) fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let Some(head) = self.find(0, b"\r\n\r\n")? else { return Ok(None) };
        let text = self.pending.get(..head).unwrap_or_default().to_vec();
        if header(&text, "expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let chunked = header(&text, "transfer-encoding").is_some_and(|value| value.contains("chunked"));
        let end = if chunked {
            self.chunks(head)?
        } else {
            let length = header(&text, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
            self.at_least(head + length)?.then_some(head + length)
        };
        Ok(end.map(|end| self.pending.drain(..end).collect()))
    }

    /// What arrived and isn't a whole request.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// Waits for so many bytes; whether they came before the end.
    fn at_least(&mut self, count: usize) -> std::io::Result<bool> {
        while self.pending.len() < count {
            if !self.fill()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The place after the next `wanted` at or after `from`.
    fn find(&mut self, from: usize, wanted: &[u8]) -> std::io::Result<Option<usize>> {
        loop {
            let rest = self.pending.get(from..).unwrap_or_default();
            if let Some(at) = rest.windows(wanted.len()).position(|window| window == wanted) {
                return Ok(Some(from + at + wanted.len()));
            }
            if rest.len() > HEAD || !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// The place after the last chunk and its trailers.
    fn chunks(&mut self, mut at: usize) -> std::io::Result<Option<usize>> {
        loop {
            let Some(end) = self.find(at, b"\r\n")? else { return Ok(None) };
            let line = String::from_utf8_lossy(self.pending.get(at..end).unwrap_or_default()).into_owned();
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
            at = end;
            if size == 0 {
                break;
            }
            at += size + 2;
            if !self.at_least(at)? {
                return Ok(None);
            }
        }
        loop {
            let Some(end) = self.find(at, b"\r\n")? else { return Ok(None) };
            if end == at + 2 {
                return Ok(Some(end));
            }
            at = end;
        }
    }

    fn fill(&mut self) -> std::io::Result<bool> {
        let mut buffer = [0; 65_536];
        let read = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.pending.extend(buffer.iter().take(read));
        Ok(read > 0)
    }
}

/// The request's path, without query; of a target in absolute form too.
pub(super) fn path(request: &Recorded) -> String {
    let line = request.line();
    let target = line.split(' ').nth(1).unwrap_or_default();
    let target = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => target,
    };
    target.split('?').next().unwrap_or_default().to_owned()
}
