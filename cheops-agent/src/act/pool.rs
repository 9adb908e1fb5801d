//! Buffers for what is read: a connection has one only while something of it is pending, and what one has emptied the
//! next uses again. Idle connections cost no buffer, and requests no allocation.

use std::cell::RefCell;

use bytes::BytesMut;

/// What a connection's read asks for to begin with. Bytes.
pub const SMALL: usize = 16 * 1024;
/// A read never asks for more while bodies stream. Bytes.
pub const LARGE: usize = 64 * 1024;

/// How many of each size a thread keeps: 2 MiB.
const SMALL_KEPT: usize = 64;
const LARGE_KEPT: usize = 16;

#[derive(Default)]
struct Pool {
    small: Vec<BytesMut>,
    large: Vec<BytesMut>,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { small: Vec::new(), large: Vec::new() }) };
}

/// An empty buffer with room for `size` bytes.
pub fn take(size: usize) -> BytesMut {
    let kept = POOL.with(|pool| {
        let mut pool = pool.borrow_mut();
        if size <= SMALL {
            pool.small.pop()
        } else if size <= LARGE {
            pool.large.pop()
        } else {
            None
        }
    });
    kept.unwrap_or_else(|| BytesMut::with_capacity(if size <= SMALL { SMALL } else { size.max(LARGE) }))
}

/// Takes an empty buffer back, unless something that was read into it is still in use.
pub fn give(buffer: &mut BytesMut) {
    if !buffer.is_empty() || !buffer.try_reclaim(SMALL) {
        return;
    }
    let is_large = buffer.try_reclaim(LARGE);
    let buffer = std::mem::take(buffer);
    // A thread that ends keeps nothing.
    let _ended = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        let (kept, most) = match is_large {
            true => (&mut pool.large, LARGE_KEPT),
            false => (&mut pool.small, SMALL_KEPT),
        };
        if kept.len() < most && buffer.capacity() <= LARGE {
            kept.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_once_nothing_of_it_is_in_use() {
        let mut buffer = take(100);
        let at = buffer.as_ptr();
        buffer.extend_from_slice(b"head");
        let head = buffer.split().freeze();
        give(&mut buffer);
        assert_ne!(buffer.capacity(), 0, "the head is still in use");
        drop(head);
        give(&mut buffer);
        assert_eq!(buffer.capacity(), 0);
        let again = take(SMALL);
        assert_eq!((again.as_ptr(), again.capacity()), (at, SMALL));
    }

    #[test]
    fn sizes_are_kept_apart() {
        let mut large = take(SMALL + 1);
        assert_eq!(large.capacity(), LARGE);
        give(&mut large);
        assert_eq!(take(1).capacity(), SMALL);
        assert_eq!(take(LARGE).capacity(), LARGE);
    }
}
