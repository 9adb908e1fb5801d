//! As much HTTP/1.1 as the load needs.

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A head: its first line and its fields.
#[derive(Debug, Default)]
pub struct Head {
    pub line: String,
    fields: Vec<(String, String)>,
}

impl Head {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether a field's name begins so, in lower case.
    pub fn has_any(&self, begins: &str) -> bool {
        self.fields.iter().any(|(field, _)| field.to_ascii_lowercase().starts_with(begins))
    }

    pub fn closes(&self) -> bool {
        self.get("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A stream that is read by messages.
pub struct Reader<S> {
    stream: S,
    pending: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, pending: Vec::new() }
    }

    async fn fill(&mut self) -> anyhow::Result<usize> {
        let mut buffer = vec![0; 16 * 1024];
        let read = self.stream.read(&mut buffer).await?;
        self.pending.extend(buffer.iter().take(read));
        Ok(read)
    }

    /// Nothing when the other end closes instead.
    pub async fn head(&mut self) -> anyhow::Result<Option<Head>> {
        let end = loop {
            if let Some(at) = self.pending.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if self.fill().await? == 0 {
                ensure!(self.pending.is_empty(), "closed inside a head");
                return Ok(None);
            }
        };
        let head: Vec<u8> = self.pending.drain(..end + 4).collect();
        let text = String::from_utf8(head)?;
        let mut lines = text.lines();
        let line = lines.next().context("no line")?.to_owned();
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Ok(Some(Head { line, fields }))
    }

    pub async fn body(&mut self, head: &Head) -> anyhow::Result<Vec<u8>> {
        if head.get("transfer-encoding").is_some() {
            return self.chunks().await;
        }
        match head.get("content-length") {
            Some(length) => self.exactly(length.parse()?).await,
            None => Ok(Vec::new()),
        }
    }

    async fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            let size = usize::from_str_radix(self.line().await?.trim(), 16)?;
            whole.extend(self.exactly(size).await?);
            ensure!(self.line().await?.is_empty(), "a chunk has no end");
            if size == 0 {
                return Ok(whole);
            }
        }
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(at) = self.pending.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.pending.drain(..at + 2).take(at).collect();
                return Ok(String::from_utf8(line)?);
            }
            if self.fill().await? == 0 {
                bail!("closed inside a body");
            }
        }
    }

    /// Exactly so many bytes.
    pub async fn exactly(&mut self, count: usize) -> anyhow::Result<Vec<u8>> {
        while self.pending.len() < count {
            if self.fill().await? == 0 {
                bail!("closed after {} of {count} bytes", self.pending.len());
            }
        }
        Ok(self.pending.drain(..count).collect())
    }
}

/// So that a byte that is missing, or there twice, is noticed (FNV-1a).
pub fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
