//! The data path's runtime and its accept loop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::TaskTracker;

use crate::accept::{Listeners, OriginError};
use crate::act::Shared;
use crate::observe::{Limit, Refused};

/// After an accept that failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(20);

/// A runtime with `threads` workers; 0 means one per processor.
///
/// # Errors
/// When threads can't be made.
pub fn runtime(threads: usize) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.thread_name("data").enable_all().build()
}

/// Accepts taken connections until the drain, and serves each as a task of `connections`.
pub async fn accept(listeners: Listeners, shared: Arc<Shared>, connections: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = shared.drain.cancelled() => return,
            accepted = listeners.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => begin(stream, &shared, &connections),
            Err(error) => {
                if error.raw_os_error().is_some_and(is_full) {
                    shared.observer.limit(Limit::Connections);
                }
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// EMFILE and ENFILE: the descriptors are used up.
fn is_full(code: i32) -> bool {
    use nix::errno::Errno;
    matches!(Errno::from_raw(code), Errno::EMFILE | Errno::ENFILE)
}

fn begin(stream: TcpStream, shared: &Arc<Shared>, connections: &TaskTracker) {
    match shared.origins.taken(&stream) {
        Ok(taken) => {
            connections.spawn(async move { drop((stream, taken)) });
        }
        Err(error) => refuse(&stream, &error, shared),
    }
}

/// A connection that is not known is reset: to close it would look like an answer.
fn refuse(stream: &TcpStream, error: &OriginError, shared: &Shared) {
    shared.observer.refused(Refused::UnknownOrigin);
    tracing::debug!(%error, "a connection is refused");
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "a refused connection can't be reset");
    }
}
