//! What a client and a service may do on a connection: every case must look the same with an agent in between.

#[path = "cases/bodies.rs"]
mod bodies;
#[path = "cases/early.rs"]
mod early;
#[path = "cases/ends.rs"]
mod ends;
#[path = "cases/heads.rs"]
mod heads;
#[path = "cases/interim.rs"]
mod interim;
#[path = "cases/others.rs"]
mod others;
#[path = "cases/pace.rs"]
mod pace;
#[path = "cases/sequences.rs"]
mod sequences;
#[path = "cases/streams.rs"]
mod streams;
#[path = "cases/tunnels.rs"]
mod tunnels;

use cheops_tests::lab::script::Step;

/// A client and a service.
pub struct Case {
    pub name: String,
    pub client: Vec<Step>,
    pub service: Vec<Step>,
}

fn case(name: impl Into<String>, client: Vec<Step>, service: Vec<Step>) -> Case {
    Case { name: name.into(), client, service }
}

/// The service reads this request and gives this answer; the client reads it and closes.
fn answered(name: impl Into<String>, request: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) -> Case {
    case(name, vec![send(&request), wait(&answer)], vec![wait(&request), send(&answer)])
}

/// The same, but the answer ends with the service's close.
fn until_close(name: impl Into<String>, request: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) -> Case {
    case(name, vec![send(&request), wait(&answer), Step::End], vec![wait(&request), send(&answer), Step::Close])
}

fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

fn trickle(bytes: impl AsRef<[u8]>) -> Step {
    Step::Trickle(bytes.as_ref().to_vec())
}

fn wait(bytes: impl AsRef<[u8]>) -> Step {
    Step::Wait(bytes.as_ref().to_vec())
}

fn sip(bytes: impl AsRef<[u8]>, size: usize) -> Step {
    Step::Sip(bytes.as_ref().to_vec(), size)
}

/// The same steps again.
fn twice(steps: &[Step]) -> Vec<Step> {
    [steps, steps].concat()
}

pub const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n";
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const PUT: &str = "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
const EXPECTS: &str = "PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const CHUNKED: &str = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
const CHUNKED_ANSWER: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const UPGRADES: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const CONNECTS: &str = "CONNECT y:1 HTTP/1.1\r\nHost: y:1\r\n\r\n";
const CONNECTED: &str = "HTTP/1.1 200 Yes\r\n\r\n";

/// All of them. Their names differ.
pub fn all() -> Vec<Case> {
    let families = [
        heads::all(),
        bodies::all(),
        streams::all(),
        interim::all(),
        early::all(),
        sequences::all(),
        tunnels::all(),
        ends::all(),
        pace::all(),
        others::all(),
    ];
    families.into_iter().flatten().collect()
}

/// Bytes that tell where they are.
fn filler(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + u8::try_from((at / 7 + at / 251) % 26).unwrap_or_default()).collect()
}

/// A message with a body of a known length; `head` has all but the length.
fn sized(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// A body in one chunk.
fn chunk(body: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
}
