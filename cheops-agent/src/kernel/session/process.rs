//! The process at the other end of a unix socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Pid;

/// A process that connected to us, held by a descriptor of its own: whatever takes over its number is told apart.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    uid: u32,
    held: OwnedFd,
}

impl Process {
    /// The process that opened the connection.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn at(socket: &impl AsFd) -> io::Result<Self> {
        let credentials = getsockopt(socket, sockopt::PeerCredentials)?;
        let pid = Pid::from_raw(credentials.pid());
        Ok(Self { pid, uid: credentials.uid(), held: hold(socket, pid)? })
    }

    /// Its number as this process sees it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its user when it connected.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether it still runs, and so [`Process::pid`] has been its number until now.
    pub fn is_alive(&self) -> bool {
        // A pidfd becomes readable when its process ends (pidfd_open(2)).
        let mut polled = [PollFd::new(self.held.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut polled, PollTimeout::ZERO), Ok(0))
    }
}

/// From the socket itself since Linux 6.5; before that by number, which a process that only just connected still has.
fn hold(socket: &impl AsFd, pid: Pid) -> io::Result<OwnedFd> {
    match getsockopt(socket, sockopt::PeerPidfd) {
        Ok(held) => Ok(held),
        Err(Errno::ENOPROTOOPT) => by_number(pid, socket.as_fd()),
        Err(error) => Err(error.into()),
    }
}

fn by_number(pid: Pid, socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let number = rustix::process::Pid::from_raw(pid.as_raw())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the caller is outside of the agent's pid namespace"))?;
    let held = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty())?;
    // Its end would have closed the connection before another could get its number.
    let mut polled = [PollFd::new(socket, PollFlags::empty())];
    poll(&mut polled, PollTimeout::ZERO)?;
    match polled.first().and_then(PollFd::any) {
        Some(false) => Ok(held),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "the caller is gone")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_other_end_is_known_and_alive() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let process = Process::at(&ours).expect("a process");
        assert_eq!(process.pid(), Pid::this());
        assert_eq!(process.uid(), nix::unistd::geteuid().as_raw());
        assert!(process.is_alive());
    }

    #[test]
    fn one_held_by_number_is_seen_to_end() {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        let held = by_number(pid, ours.as_fd()).expect("it runs");
        let process = Process { pid, uid: 0, held };
        assert!(process.is_alive());
        drop(child.stdin.take());
        child.wait().expect("it ends");
        assert!(!process.is_alive());
    }

    #[test]
    fn a_caller_that_hung_up_is_not_looked_for_by_number() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        drop(theirs);
        assert!(by_number(Pid::this(), ours.as_fd()).is_err());
    }
}
