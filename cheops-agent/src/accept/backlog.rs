//! The connections that the kernel keeps until they are accepted, and those that it dropped since there was no room.

use std::io;

use nix::sys::socket::getsockopt;
use nix::{getsockopt_impl, libc, sockopt_impl};
use tokio::net::TcpListener;

/// `SK_MEMINFO_DROPS` is the last of so many.
const NUMBERS: usize = 9;

sockopt_impl!(
    /// `SO_MEMINFO` (Linux 4.12): numbers by `enum` in `linux/sock_diag.h`.
    MemInfo, GetOnly, libc::SOL_SOCKET, libc::SO_MEMINFO, [u32; NUMBERS]
);

/// A listener's backlog.
#[derive(Debug, Default)]
pub struct Backlog {
    set: Option<i32>,
    /// As far as they were counted.
    dropped: u32,
}

impl Backlog {
    /// Lets the kernel keep `most` connections, if it doesn't yet.
    ///
    /// # Errors
    /// As listen(2).
    pub fn set(&mut self, listener: &TcpListener, most: i32) -> io::Result<()> {
        if self.set == Some(most) {
            return Ok(());
        }
        // A second call on a listening socket changes nothing else.
        socket2::SockRef::from(listener).listen(most)?;
        self.set = Some(most);
        Ok(())
    }

    /// The connections that the kernel dropped since this was last asked.
    ///
    /// # Errors
    /// As getsockopt(2).
    pub fn dropped(&mut self, listener: &TcpListener) -> io::Result<u32> {
        let [.., dropped] = getsockopt(listener, MemInfo)?;
        let since = dropped.wrapping_sub(self.dropped);
        self.dropped = dropped;
        Ok(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_finds_no_room_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut backlog = Backlog::default();
        backlog.set(&listener, 1).expect("set");
        assert_eq!(backlog.dropped(&listener).expect("a number"), 0);
        let wait = std::time::Duration::from_millis(200);
        let connect = || std::net::TcpStream::connect_timeout(&address, wait);
        let connected = std::iter::repeat_with(connect).take(4).filter_map(Result::ok).collect::<Vec<_>>();
        assert!((1..=2).contains(&connected.len()), "{}", connected.len());
        assert!(backlog.dropped(&listener).expect("a number") >= 2);
        assert_eq!(backlog.set, Some(1));
    }
}
