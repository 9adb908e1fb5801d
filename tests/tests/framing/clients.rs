//! Whatever answer is forwarded has the same body to hyper's client, to curl and to Python's http.client.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use bytes::Bytes;
use cheops_agent::http::framing::HeadEnd;
use cheops_agent::http::{AnswerHead, Body, BodyLength};
use cheops_tests::lab::lock;
use cheops_tests::lab::script::show;
use cheops_tests::lab::ways::{Door, report};
use http::Request;
use http_body_util::{BodyExt, Empty};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::framing::{Expected, answers};
use super::fuzz::hypers::dechunked;
use super::io::Io;
use super::same::chunked;

/// Made-up answers.
const MADE_UP: usize = 30;
const PYTHON: &str = "import http.client, sys\n\
    c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=5)\n\
    c.request('GET', '/')\n\
    sys.stdout.buffer.write(c.getresponse().read())\n";

/// What a client made of the answer; `None`: it refused it.
type Client = fn(SocketAddr) -> anyhow::Result<Option<Vec<u8>>>;

fn output(mut command: Command) -> anyhow::Result<Option<Vec<u8>>> {
    let Output { status, stdout, .. } = command.output()?;
    Ok(status.success().then_some(stdout))
}

fn curl(door: SocketAddr) -> anyhow::Result<Option<Vec<u8>>> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--http1.1", "--noproxy", "*", "--max-time", "5"]).arg(format!("http://{door}/"));
    output(curl)
}

fn python(door: SocketAddr) -> anyhow::Result<Option<Vec<u8>>> {
    let mut python = Command::new("python3");
    python.args(["-c", PYTHON]).arg(door.port().to_string());
    output(python)
}

fn hyper(door: SocketAddr) -> anyhow::Result<Option<Vec<u8>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(door).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(Io(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get("/").header("Host", "x").body(Empty::<Bytes>::new())?;
        let Ok(answer) = sender.send_request(request).await else { return Ok(None) };
        Ok(answer.into_body().collect().await.ok().map(|body| body.to_bytes().to_vec()))
    })
}

/// The final answer's body, as the agent frames it.
fn body(mut bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    loop {
        let end = HeadEnd::default().find(bytes, 4096)?.context("no head")?;
        let head = AnswerHead::parse(Bytes::copy_from_slice(&bytes[..end]), 100, "GET")?;
        bytes = &bytes[end..];
        if !head.is_interim() {
            let length = Body::new(head.length()).scan(bytes)?;
            let own = &bytes[..length];
            return Ok(if head.length() == BodyLength::Chunked { dechunked(own) } else { own.to_vec() });
        }
    }
}

fn made_up(random: &mut SmallRng) -> Vec<u8> {
    let body: Vec<u8> =
        (0..random.random_range(0..60)).map(|_| b"\r\n0 HTTP/1.;a"[random.random_range(0..13)]).collect();
    let mut answer = b"HTTP/1.1 200 OK\r\nX: y\r\n".to_vec();
    match random.random_range(0..3) {
        0 => answer.extend([b"Content-Length: ", body.len().to_string().as_bytes(), b"\r\n\r\n", &body].concat()),
        1 => answer.extend([b"Connection: close\r\n\r\n", body.as_slice()].concat()),
        _ => {
            answer.extend(b"transfer-encoding:  Chunked\r\n\r\n");
            chunked(random, &body, &mut answer);
        }
    }
    answer
}

/// Gives every connection `answer`, and closes.
fn serve(listener: TcpListener, answer: Arc<Mutex<Vec<u8>>>) {
    let give = move |mut stream: TcpStream| -> std::io::Result<()> {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            read.extend(byte);
        }
        stream.write_all(&lock(&answer))
    };
    std::thread::spawn(move || {
        // A client that goes early shows at the client.
        listener.incoming().flatten().for_each(|stream| drop(give(stream)));
    });
}

/// All answers that are forwarded, and made-up ones.
pub fn to_clients() -> anyhow::Result<()> {
    let clients: [(&str, Client); 3] = [("hyper", hyper), ("curl", curl), ("http.client", python)];
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let door = Door::to(listener.local_addr()?)?;
    let current = Arc::new(Mutex::new(Vec::new()));
    serve(listener, Arc::clone(&current));
    let mut cases: Vec<Vec<u8>> =
        answers().filter(|case| case.2 == Expected::Forward).map(|case| case.1.to_vec()).collect();
    let mut random = SmallRng::seed_from_u64(9112);
    cases.extend((0..MADE_UP).map(|_| made_up(&mut random)));
    let (mut failures, mut refused) = (Vec::new(), BTreeMap::new());
    for case in &cases {
        let expected = body(case)?;
        lock(&current).clone_from(case);
        for (name, client) in clients {
            match client(door.address())? {
                Some(got) if got == expected => {}
                Some(got) => {
                    failures.push(format!("{name}: {}: got {}, not {}", show(case), show(&got), show(&expected)))
                }
                None => *refused.entry(name).or_insert(0) += 1,
            }
        }
    }
    for (name, count) in refused {
        // Not by print!, which the test harness keeps back.
        write!(std::io::stdout(), "({name} refuses {count}) ")?;
        anyhow::ensure!(count < cases.len() / 4, "{name} refuses {count} of {} answers", cases.len());
    }
    report("answers to hyper, curl and http.client", cases.len() * clients.len(), &failures)
}
