//! What systemd is told (sd_notify(3)). Without systemd nothing happens.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// How long telling may take. The socket's queue is short (`net.unix.max_dgram_qlen`), and when its reader hangs, the
/// agent must not.
const PATIENCE: Duration = Duration::from_millis(50);

/// The start is over.
pub fn ready() {
    tell(&[NotifyState::Ready]);
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
    if let Err(error) = send(&socket, &text) {
        tracing::warn!(%error, "can't tell systemd");
    }
}

/// Sends one message to the socket of that path, or, after an `@`, of that abstract name.
fn send(socket: &OsStr, text: &str) -> io::Result<()> {
    let to = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(PATIENCE))?;
    sender.send_to_addr(text.as_bytes(), &to).map(drop)
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
        let sent = (0..2000).take_while(|_| send(path.as_os_str(), "STATUS=busy\n").is_ok()).count();
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
        send(OsStr::new(&format!("@{name}")), "READY=1\n").expect("sent");
        let mut buffer = [0; 64];
        let length = reader.recv(&mut buffer).expect("the message");
        assert_eq!(&buffer[..length], b"READY=1\n");
    }
}
