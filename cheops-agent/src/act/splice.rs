//! Bytes from one connection to another without a copy: splice(2) through a pipe.
//!
//! Pipes are shared by all connections of a thread: one has a pipe only while there are bytes in it. There are at most
//! [`MOST`] of them; whoever gets none copies.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What is left of a body must be at least this, else it is copied. Bytes.
pub const WORTH: u64 = 64 * 1024;
/// What a pipe shall hold. Bytes; an unprivileged process may ask for as much (`/proc/sys/fs/pipe-max-size`).
const SIZE: usize = 512 * 1024;
/// Pipes in all, and kept by each thread while no bytes are in them.
const MOST: usize = 128;
const KEPT: usize = 4;

static OPEN: AtomicUsize = AtomicUsize::new(0);
static SPLICED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // Boxed as a splice holds them, so that most splices, which have none, are one word.
    #[expect(clippy::vec_box, reason = "they go in and out as they are")]
    static PIPES: RefCell<Vec<Box<Pipe>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that went on uncopied since the start.
pub fn spliced() -> u64 {
    SPLICED.load(Ordering::Relaxed)
}

/// A pipe, and how many bytes are in it.
#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    size: usize,
    inside: usize,
}

impl Pipe {
    /// A kept one or a new one; none when there are too many, or no descriptors.
    fn get() -> Option<Box<Self>> {
        PIPES.with(|pipes| pipes.borrow_mut().pop()).or_else(Self::open)
    }

    fn open() -> Option<Box<Self>> {
        if OPEN.fetch_add(1, Ordering::Relaxed) >= MOST {
            OPEN.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        match pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
            Ok((read, write)) => {
                // Where it isn't allowed the pipe holds what pipes usually hold.
                let size = fcntl_setpipe_size(&write, SIZE).unwrap_or(64 * 1024);
                Some(Box::new(Self { read, write, size, inside: 0 }))
            }
            Err(_) => {
                OPEN.fetch_sub(1, Ordering::Relaxed);
                None
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One way's pipe, as long as it needs one.
#[derive(Debug, Default)]
pub struct Splice(Option<Box<Pipe>>);

impl Splice {
    /// Bytes that were read and not yet written.
    pub fn inside(&self) -> usize {
        self.0.as_ref().map_or(0, |pipe| pipe.inside)
    }

    /// Whether there is a pipe to read into.
    pub fn is_ready(&mut self) -> bool {
        if self.0.is_none() {
            self.0 = Pipe::get();
        }
        self.0.is_some()
    }

    /// Gives an empty pipe back. One with bytes in it is of no use to others.
    pub fn rest(&mut self) {
        let Some(pipe) = self.0.take().filter(|pipe| pipe.inside == 0) else { return };
        // A thread that ends keeps nothing.
        let _ended = PIPES.try_with(|pipes| {
            let mut pipes = pipes.borrow_mut();
            if pipes.len() < KEPT {
                pipes.push(pipe);
            }
        });
    }

    /// Reads at most `most` bytes into the empty pipe; 0: the other end has ended.
    ///
    /// # Errors
    /// The connection's own.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream, most: u64) -> Poll<io::Result<usize>> {
        let Some(pipe) = &mut self.0 else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(pipe.size);
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || moved(splice(from, None, &pipe.write, None, most, FLAGS))) {
                // The pipe is empty: it is the connection that has nothing.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(read) => {
                    pipe.inside += read;
                    return Poll::Ready(Ok(read));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes what is in the pipe. `Ready` when it is empty.
    ///
    /// # Errors
    /// The connection's own.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<()>> {
        let Some(pipe) = &mut self.0 else { return Poll::Ready(Ok(())) };
        while pipe.inside > 0 {
            ready!(to.poll_write_ready(cx))?;
            let inside = pipe.inside;
            match to.try_io(Interest::WRITABLE, || moved(splice(&pipe.read, None, to, None, inside, FLAGS))) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    pipe.inside -= written;
                    SPLICED.fetch_add(written as u64, Ordering::Relaxed);
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what is in the pipe out again, and puts it behind what is in `to`.
    ///
    /// # Errors
    /// The pipe's own.
    pub fn take_back(&mut self, to: &mut BytesMut) -> io::Result<()> {
        let Some(pipe) = &mut self.0 else { return Ok(()) };
        let mut at = to.len();
        to.resize(at + pipe.inside, 0);
        while pipe.inside > 0 {
            let read = rustix::io::read(&pipe.read, to.get_mut(at..).unwrap_or_default())?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            at += read;
            pipe.inside -= read;
        }
        self.rest();
        Ok(())
    }
}

impl Drop for Splice {
    fn drop(&mut self) {
        self.rest();
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

fn moved(result: rustix::io::Result<usize>) -> io::Result<usize> {
    result.map_err(io::Error::from)
}

#[cfg(test)]
mod tests;
