//! A request's body, kept while it is sent, so that it can be sent again elsewhere.

use std::fs::{File, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;

use bytes::BytesMut;

use crate::act::wire::Wire;

/// More than this is kept in a file.
const IN_MEMORY: usize = 64 * 1024;

/// A request's body as it was sent, up to a limit. What doesn't fit in memory is in a file without a name (`O_TMPFILE`,
/// mode 0600), which goes with the process.
#[derive(Debug)]
pub struct Kept {
    bytes: BytesMut,
    file: Option<File>,
    length: usize,
    limit: usize,
    overflowed: bool,
}

impl Kept {
    /// Keeps at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { bytes: BytesMut::new(), file: None, length: 0, limit, overflowed: false }
    }

    /// Whether the body was longer than the limit, or could not be kept: it can't be sent again.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Puts the body back before what is pending at the client, so that the next exchange sends it from its start.
    /// False when it can't, as too much was sent.
    pub fn give_back<C>(&mut self, client: &mut Wire<C>) -> bool {
        match self.take() {
            Some(mut whole) => {
                whole.extend_from_slice(&client.pending);
                client.pending = whole;
                true
            }
            None => false,
        }
    }

    fn take(&mut self) -> Option<BytesMut> {
        if self.overflowed {
            return None;
        }
        let mut whole = std::mem::take(&mut self.bytes);
        if let Some(mut file) = self.file.take() {
            let mut read = Vec::with_capacity(self.length);
            if let Err(error) = file.rewind().and_then(|()| file.read_to_end(&mut read)) {
                tracing::warn!(%error, "a request's body that was kept can't be read again");
                return None;
            }
            whole = BytesMut::from(read.as_slice());
        }
        self.length = 0;
        Some(whole)
    }

    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        self.overflowed |= self.length > self.limit;
        if !self.overflowed
            && let Err(error) = self.store(bytes)
        {
            tracing::warn!(%error, "a request's body can't be kept; the first site's outcome will be final");
            self.overflowed = true;
        }
        if self.overflowed {
            (self.bytes, self.file) = (BytesMut::new(), None);
        }
    }

    /// Into the page cache at most: the limit is far below what would make that wait for a disk.
    fn store(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.length <= IN_MEMORY {
            self.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut file = tempfile::tempfile()?;
                file.set_permissions(Permissions::from_mode(0o600))?;
                file.write_all(&std::mem::take(&mut self.bytes))?;
                file
            }
        };
        file.write_all(bytes)?;
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_whole_from_memory_and_from_a_file() {
        for (pieces, size) in [(1, 10), (6, 10_000), (7, 10_000), (100, 10_001)] {
            let mut kept = Kept::new(2_000_000);
            let whole: Vec<u8> = (0..pieces * size).map(|at| (at % 251) as u8).collect();
            whole.chunks(size).for_each(|piece| kept.keep(piece));
            assert_eq!(kept.file.is_some(), whole.len() > IN_MEMORY);
            let mut client = Wire::with_pending((), BytesMut::from(&b"next"[..]));
            assert!(kept.give_back(&mut client));
            assert!(client.pending[..] == [&whole[..], b"next"].concat());
        }
    }

    #[test]
    fn the_file_has_no_name_and_nobody_else_may_read_it() {
        use std::os::unix::fs::MetadataExt;
        let mut kept = Kept::new(1 << 20);
        kept.keep(&[1; IN_MEMORY + 1]);
        let metadata = kept.file.as_ref().expect("a file").metadata().expect("metadata");
        assert_eq!((metadata.nlink(), metadata.mode() & 0o777), (0, 0o600));
    }

    #[test]
    fn beyond_the_limit_nothing_is_kept() {
        let mut kept = Kept::new(IN_MEMORY + 10);
        kept.keep(&[1; IN_MEMORY + 10]);
        assert!(!kept.overflowed());
        kept.keep(&[1]);
        assert!(kept.overflowed() && kept.file.is_none() && kept.bytes.is_empty());
        assert!(!kept.give_back(&mut Wire::new(())));
    }
}
