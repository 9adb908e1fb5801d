//! What systemd is told (sd_notify(3)). Without systemd nothing happens.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use sd_notify::NotifyState;

/// How long telling may take. The socket's queue is short (`net.unix.max_dgram_qlen`), and when its reader hangs, the
/// agent must not.
const PATIENCE: Duration = Duration::from_millis(50);

/// The same where it must be told. Less than systemd waits for a sign of life.
const LONG_PATIENCE: Duration = Duration::from_secs(2);

/// Whether systemd runs this agent and keeps descriptors for it: it says so itself since version 254, and the unit does.
pub fn keeps() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some() && std::env::var_os("FDSTORE").is_some()
}

/// Gives systemd a descriptor to keep until the unit is stopped for good.
///
/// # Errors
/// When it can't be told.
pub fn keep(name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    // Maps tell a poll that they are broken, and would be thrown out for that.
    let text = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0\n");
    std::env::var_os("NOTIFY_SOCKET").map_or(Ok(()), |socket| send(&socket, &text, &[descriptor], LONG_PATIENCE))
}

/// Has systemd close what it keeps by this name.
///
/// # Errors
/// When it can't be told.
pub fn forget(name: &str) -> io::Result<()> {
    let text = format!("FDSTOREREMOVE=1\nFDNAME={name}\n");
    std::env::var_os("NOTIFY_SOCKET").map_or(Ok(()), |socket| send(&socket, &text, &[], LONG_PATIENCE))
}

/// The start is over.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Another process is the agent from now on.
pub fn main_process(pid: i32) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, &format!("MAINPID={pid}\n"), &[], LONG_PATIENCE) {
        tracing::error!(%error, "systemd can't be told of the new agent");
    }
}

/// The configuration is being read again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "can't tell systemd that the configuration is read again"),
    }
}

/// The drain has begun, and may take this long.
pub fn stopping(drain: Duration) {
    let extend = u32::try_from(drain.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(extend)]);
}

/// Why the agent ends.
pub fn failed(error: &anyhow::Error) {
    tell(&[NotifyState::Status(&format!("{error:#}"))]);
}

/// One line for `systemctl status`.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// The data path is alive.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often systemd wants to hear [`alive`], if it does.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn tell(states: &[NotifyState<'_>]) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    if let Err(error) = send(&socket, &text, &[], PATIENCE) {
        tracing::warn!(%error, "can't tell systemd");
    }
}

/// Sends one message to the socket of that path, or, after an `@`, of that abstract name.
fn send(socket: &OsStr, text: &str, descriptors: &[BorrowedFd<'_>], patience: Duration) -> io::Result<()> {
    let to = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(patience))?;
    sender.connect_addr(&to)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    rustix::net::sendmsg(&sender, &[IoSlice::new(text.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_reader_that_hangs_holds_nobody_up() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify.sock");
        let reader = UnixDatagram::bind(&path).expect("a socket");
        let begin = Instant::now();
        let sent = (0..2000).take_while(|_| send(path.as_os_str(), "STATUS=busy\n", &[], PATIENCE).is_ok()).count();
        assert!(sent > 0 && sent < 2000, "{sent} messages found room");
        assert!(begin.elapsed() < Duration::from_secs(10));
        let mut buffer = [0; 64];
        let length = reader.recv(&mut buffer).expect("the first message");
        assert_eq!(&buffer[..length], b"STATUS=busy\n");
    }

    #[test]
    fn abstract_names_are_understood() {
        let name = format!("cheops-notify-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let reader = UnixDatagram::bind_addr(&address).expect("a socket");
        send(OsStr::new(&format!("@{name}")), "READY=1\n", &[], PATIENCE).expect("sent");
        let mut buffer = [0; 64];
        let length = reader.recv(&mut buffer).expect("the message");
        assert_eq!(&buffer[..length], b"READY=1\n");
    }
}
