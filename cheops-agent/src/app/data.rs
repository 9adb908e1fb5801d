//! The data path's runtime.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

/// The runtime that serves clients and peers, and its threads.
pub enum Data {
    /// One thread, which needs no locks and wakes nobody: measured against a scheduler of one worker it takes a tenth less
    /// time for a request, and half the time for the slowest hundredth.
    One {
        handle: Handle,
        stop: CancellationToken,
        /// Disconnected when the thread has ended.
        ended: Receiver<()>,
    },
    Many(Runtime),
}

/// A runtime with `threads` threads; 0 means one per processor.
///
/// # Errors
/// When threads can't be made.
pub fn runtime(threads: usize) -> io::Result<Data> {
    let name = "data";
    if threads != 1 {
        let mut builder = Builder::new_multi_thread();
        if threads > 0 {
            builder.worker_threads(threads);
        }
        return Ok(Data::Many(builder.thread_name(name).enable_all().build()?));
    }
    let runtime = Builder::new_current_thread().thread_name(name).enable_all().build()?;
    let (handle, stop) = (runtime.handle().clone(), CancellationToken::new());
    let stopped = stop.clone();
    let (ends, ended) = std::sync::mpsc::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(stopped.cancelled());
        // What a blocking task does, such as asking for names, is not waited for.
        runtime.shutdown_background();
        drop(ends);
    })?;
    Ok(Data::One { handle, stop, ended })
}

impl Data {
    pub fn handle(&self) -> &Handle {
        match self {
            Self::One { handle, .. } => handle,
            Self::Many(runtime) => runtime.handle(),
        }
    }

    /// Ends everything that still runs, and waits so long at most for what can't be ended at once.
    pub fn shutdown(self, limit: Duration) {
        match self {
            Self::Many(runtime) => runtime.shutdown_timeout(limit),
            Self::One { stop, ended, .. } => {
                stop.cancel();
                // Nothing is ever sent: it has ended, or it is late.
                if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    tracing::warn!("the data path's thread doesn't end");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_run_on_named_threads_and_end_with_them() {
        for threads in [0, 1, 2] {
            let data = runtime(threads).expect("threads");
            let (tell, told) = std::sync::mpsc::channel();
            let dropped = tell.clone();
            data.handle().spawn(async move {
                tell.send(std::thread::current().name().map(str::to_owned)).expect("read");
                std::future::pending::<()>().await;
                drop(tell);
            });
            assert_eq!(told.recv().expect("it runs").as_deref(), Some("data"), "{threads}");
            drop(dropped);
            data.shutdown(Duration::from_secs(5));
            assert!(told.recv().is_err(), "the task's end is gone with it");
        }
    }
}
