//! The data path's runtime.

use std::io;

use tokio::runtime::{Builder, Runtime};

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
