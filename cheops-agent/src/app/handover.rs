//! Handing everything on to a successor: a new process of the program that is installed now. It is started by a process
//! in between that ends at once, so that systemd becomes its parent. The two agents speak over its standard input:
//!
//! 1. the running agent sends all descriptors; the successor loads programs and files, which takes its time, and says
//!    that it is `prepared`;
//! 2. the running agent lets nothing in any more, changes nothing any more, and says `go`; the successor takes the
//!    kernel programs' places, lets connections in, proves that they come, and says `taken`;
//! 3. the running agent tells systemd, and says `done`.
//!
//! Whatever fails before `taken` changes nothing: the running agent puts its programs back and goes on.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, sockopt,
};

/// Says which of the two processes a new one is.
const ROLE: &str = "CHEOPS_SUCCESSOR";
const BETWEEN: &str = "between";
const SUCCESSOR: &str = "successor";

/// How long the successor may prepare, and how long it may then take: connections wait for the latter.
const PREPARES: Duration = Duration::from_secs(60);
const TAKES: Duration = Duration::from_secs(5);

/// How long the successor waits for its turns.
pub const WAITS: Duration = Duration::from_secs(10);

/// More descriptors than there are to be handed on.
const MOST: usize = 64;

/// The process in between starts the successor and ends. Nothing in any other process.
///
/// # Errors
/// When the successor can't be started.
pub fn between() -> Option<io::Result<()>> {
    if std::env::var_os(ROLE)? != BETWEEN {
        return None;
    }
    let start =
        |program| Command::new(program).args(std::env::args_os().skip(1)).env(ROLE, SUCCESSOR).spawn().map(drop);
    Some(std::env::current_exe().and_then(start))
}

/// One end of the two agents' talk.
pub struct Talk(OwnedFd);

/// Descriptors with the names under which they are handed on.
pub type Named = Vec<(String, OwnedFd)>;

impl Talk {
    /// Starts a successor of the program at `path`, with these descriptors.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn begin(path: &Path, all: &[(String, OwnedFd)]) -> anyhow::Result<Self> {
        ensure!(std::process::id() != 1, "process 1 of a container can't be replaced: its end is the container's");
        let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (ours, theirs) = pair.context("no socket pair")?;
        let mut command = Command::new(path);
        command.args(std::env::args_os().skip(1)).env(ROLE, BETWEEN).stdin(Stdio::from(theirs)).stdout(Stdio::null());
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        let status = command.status().with_context(|| format!("can't start {}", path.display()))?;
        drop(command);
        ensure!(status.success(), "{} could not be started: {status}", path.display());
        let talk = Self(ours);
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        let descriptors: Vec<_> = all.iter().map(|(_, descriptor)| descriptor.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ensure!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)), "too many descriptors");
        rustix::net::sendmsg(
            &talk.0,
            &[IoSlice::new(names.join("\n").as_bytes())],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
        Ok(talk)
    }

    /// The successor's end with what it is given; nothing in a process that is none.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn as_successor() -> anyhow::Result<Option<(Self, Named)>> {
        if std::env::var_os(ROLE).is_none_or(|role| role != SUCCESSOR) {
            return Ok(None);
        }
        let talk = Self(io::stdin().as_fd().try_clone_to_owned().context("no standard input")?);
        let (names, descriptors) = talk.receive(PREPARES)?;
        let all: Vec<(String, OwnedFd)> = names.lines().map(str::to_owned).zip(descriptors).collect();
        ensure!(!all.is_empty(), "nothing is handed on");
        Ok(Some((talk, all)))
    }

    /// Says a word.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn say(&self, word: &str) -> anyhow::Result<()> {
        let mut none = SendAncillaryBuffer::default();
        rustix::net::sendmsg(&self.0, &[IoSlice::new(word.as_bytes())], &mut none, SendFlags::NOSIGNAL)
            .context("the other agent is gone")?;
        Ok(())
    }

    /// What follows `word`, which must be said in time.
    ///
    /// # Errors
    /// When it isn't.
    pub fn hear(&self, word: &str, within: Duration) -> anyhow::Result<String> {
        let (text, _) = self.receive(within)?;
        match text.strip_prefix(word) {
            Some(rest) => Ok(rest.trim().to_owned()),
            None if text.is_empty() => bail!("the other agent has ended; its log says why"),
            None => bail!("{text}"),
        }
    }

    /// Waits for the successor's preparations: its process.
    ///
    /// # Errors
    /// When it can't start, and why if it says so.
    pub fn prepared(&self) -> anyhow::Result<i32> {
        self.hear("prepared", PREPARES)?.parse().context("the successor doesn't say its process")
    }

    /// Waits until the successor has taken everything.
    ///
    /// # Errors
    /// When it doesn't.
    pub fn taken(&self) -> anyhow::Result<()> {
        self.say("go")?;
        self.hear("taken", TAKES).map(drop)
    }

    fn receive(&self, within: Duration) -> anyhow::Result<(String, Vec<OwnedFd>)> {
        sockopt::set_socket_timeout(&self.0, sockopt::Timeout::Recv, Some(within))?;
        let mut text = vec![0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut text)], &mut ancillary, flags)
            .context("the other agent says nothing")?;
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                descriptors.extend(passed);
            }
        }
        text.truncate(received.bytes);
        Ok((String::from_utf8_lossy(&text).into_owned(), descriptors))
    }
}
