//! Two scripts, a client's and a service's, played over a connection; what each of them got is compared.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use socket2::SockRef;

/// How long anything may take. A script that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// One thing that an end does.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// Byte by byte, each in a segment of its own.
    Trickle(Vec<u8>),
    /// Waits until the other end's script is at its own `Meet`: what either did before has been done.
    Meet,
    /// Makes the socket's buffers about this small. Bytes.
    Narrow(usize),
    /// As `Wait`, but reads so many bytes at a time and rests a millisecond after each.
    Sip(Vec<u8>, usize),
    /// Reads until everything since the last wait is exactly this.
    Wait(Vec<u8>),
    /// Reads until so many bytes have come since the last wait.
    WaitLength(usize),
    /// Reads to the other side's orderly end, and goes on: it may still be told something.
    WaitEnd,
    /// Reads nothing for so long, while the other end may send.
    Rest(Duration),
    /// Ends the own side; goes on reading.
    Shut,
    /// Ends the connection by a reset.
    Reset,
    /// Ends the connection; what comes is not read. So does the end of a script.
    Close,
    /// Reads to the other side's end; nothing follows.
    End,
}

/// How the other end ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Fin,
    Reset,
    /// This end closed first, and didn't look.
    Unseen,
}

/// What an end got.
#[derive(Clone, PartialEq, Eq)]
pub struct Got {
    pub bytes: Vec<u8>,
    pub ended: Ended,
}

impl std::fmt::Debug for Got {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.bytes.get(..self.bytes.len().min(2000)).unwrap_or_default();
        write!(f, "{} bytes {:?}, then {:?}", self.bytes.len(), String::from_utf8_lossy(shown), self.ended)
    }
}

/// One end's way to meet the other.
pub struct Meeting {
    tell: Sender<()>,
    told: Receiver<()>,
}

impl Meeting {
    /// Both ends'.
    pub fn pair() -> (Self, Self) {
        let ((to_far, from_near), (to_near, from_far)) = (channel(), channel());
        (Self { tell: to_far, told: from_far }, Self { tell: to_near, told: from_near })
    }

    fn meet(&self) -> Result<(), String> {
        let gone = "the other end's script is over";
        self.tell.send(()).map_err(|_| gone)?;
        self.told.recv_timeout(PATIENCE).map_err(|error| format!("the other end didn't come to meet: {error}"))
    }
}

/// Plays a script at one end.
///
/// # Errors
/// What was awaited and did not come.
pub fn play(mut stream: TcpStream, script: &[Step], meeting: &Meeting) -> Result<Got, String> {
    stream.set_nodelay(true).map_err(text)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(text)?;
    let mut got = Vec::new();
    let mut waited = 0;
    for step in script {
        match step {
            Step::Send(bytes) => send(&mut stream, bytes)?,
            Step::Trickle(bytes) => bytes.iter().try_for_each(|byte| send(&mut stream, &[*byte]))?,
            Step::Meet => meeting.meet()?,
            Step::Narrow(size) => narrow(&stream, *size).map_err(text)?,
            Step::Wait(bytes) => wait(&mut stream, &mut got, &mut waited, bytes)?,
            Step::Sip(bytes, size) => {
                let all = waited + bytes.len();
                while got.len() < all {
                    let next = all.min(got.len() + size);
                    read(&mut stream, &mut got, next)?;
                    std::thread::sleep(Duration::from_millis(1));
                }
                wait(&mut stream, &mut got, &mut waited, bytes)?;
            }
            Step::WaitLength(length) => {
                read(&mut stream, &mut got, waited + length)?;
                waited += length;
            }
            Step::WaitEnd => match read_to_end(&mut stream, &mut got)? {
                Ended::Fin => {}
                other => return Err(format!("waited for an orderly end, got {other:?}")),
            },
            Step::Rest(time) => std::thread::sleep(*time),
            Step::Shut => match stream.shutdown(Shutdown::Write) {
                // The other end has reset it meanwhile; what was read tells.
                Err(error) if error.kind() == ErrorKind::NotConnected => {}
                other => other.map_err(text)?,
            },
            Step::Reset => {
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).map_err(text)?;
                return Ok(Got { bytes: got, ended: Ended::Unseen });
            }
            Step::Close => break,
            Step::End => {
                let ended = read_to_end(&mut stream, &mut got)?;
                return Ok(Got { bytes: got, ended });
            }
        }
    }
    Ok(Got { bytes: got, ended: Ended::Unseen })
}

fn narrow(stream: &TcpStream, size: usize) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_recv_buffer_size(size)?;
    socket.set_send_buffer_size(size)
}

fn send(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
    // A write of nothing is one too.
    let sent = if bytes.is_empty() { stream.write(bytes).map(drop) } else { stream.write_all(bytes) };
    match sent {
        // The other end may have gone on purpose; what was read tells.
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(()),
        other => other.map_err(|error| format!("can't send {}: {error}", show(bytes))),
    }
}

/// Reads until these bytes have come since the last wait.
fn wait(stream: &mut TcpStream, got: &mut Vec<u8>, waited: &mut usize, bytes: &[u8]) -> Result<(), String> {
    read(stream, got, *waited + bytes.len())?;
    let seen = got.get(*waited..).unwrap_or_default();
    if seen != bytes {
        return Err(format!("waited for {}, got {}", show(bytes), show(seen)));
    }
    *waited += bytes.len();
    Ok(())
}

/// Reads until `got` has `length` bytes, and no more than these.
fn read(stream: &mut TcpStream, got: &mut Vec<u8>, length: usize) -> Result<(), String> {
    let mut buffer = [0; 65_536];
    while got.len() < length {
        let room = buffer.len().min(length - got.len());
        match stream.read(buffer.get_mut(..room).unwrap_or_default()) {
            Ok(0) => return Err(format!("the end came after {}", show(got))),
            Ok(count) => got.extend(buffer.iter().take(count)),
            Err(error) => return Err(format!("{error} after {}", show(got))),
        }
    }
    Ok(())
}

fn read_to_end(stream: &mut TcpStream, got: &mut Vec<u8>) -> Result<Ended, String> {
    let mut buffer = [0; 65_536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(Ended::Fin),
            Ok(count) => got.extend(buffer.iter().take(count)),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Ended::Reset),
            Err(error) => return Err(format!("no end came ({error}) after {}", show(got))),
        }
    }
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

/// Bytes for people.
pub fn show(bytes: &[u8]) -> String {
    let shown = bytes.get(..bytes.len().min(500)).unwrap_or_default();
    format!("{} bytes {:?}", bytes.len(), String::from_utf8_lossy(shown))
}
