//! Whatever is forwarded is the same requests to hyper, to nginx and to Python's http.server.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use cheops_tests::lab::script::show;
use cheops_tests::lab::ways::{Door, report};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::framing::{Expected, requests};
use super::fuzz::framing::{framing, messages};
use super::fuzz::hypers::plain;
use super::servers::{self, Server, seen};

/// Follows each case on its connection: who takes it for another message's part shows it.
const MARKER: &[u8] = b"GET /marker HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
/// Connections with made-up requests, for each server.
const MADE_UP: u64 = 300;
/// Mutated connections that are compared with hyper in this process.
const MUTATED: u64 = 20_000;

/// What a server saw through the agent, as far as it answered, and whether it broke off.
fn ask(door: &Door, bytes: &[u8]) -> anyhow::Result<(Vec<String>, bool)> {
    let mut stream = TcpStream::connect(door.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // It may be refused at any byte; what comes back tells.
    let sent = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answers = Vec::new();
    let read = stream.read_to_end(&mut answers);
    let reset = |result: &std::io::Error| matches!(result.kind(), std::io::ErrorKind::ConnectionReset);
    anyhow::ensure!(read.as_ref().err().is_none_or(reset), "no end came after {}", show(&answers));
    let text = String::from_utf8_lossy(&answers);
    let seen = text
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("x-seen: "))
        .map(|line| line[8..].trim_end().to_owned());
    let refused =
        text.lines().any(|line| ["HTTP/1.1 4", "HTTP/1.1 5", "HTTP/1.0 4"].iter().any(|start| line.starts_with(start)));
    Ok((seen.collect(), refused || sent.is_err() || read.is_err()))
}

/// Whether a server saw what the agent did, or refused it: `Ok(false)`.
fn agrees(door: &Door, bytes: &[u8]) -> anyhow::Result<bool> {
    let expected: Vec<String> = messages(bytes)
        .iter()
        .map(|message| seen(message.head.method(), message.head.target().as_bytes(), &plain(message)))
        .collect();
    let (saw, refused) = ask(door, bytes)?;
    // What it refuses it may leave out, and go on behind it.
    let mut left = expected.iter();
    let known = saw.iter().all(|one| left.any(|other| other == one));
    let whole = saw.len() == expected.len();
    let skipped = saw.last() == expected.last() && !whole;
    anyhow::ensure!(known && (refused || !skipped), "saw {saw:?}, not {expected:?}");
    Ok(whole)
}

/// All cases that are forwarded, and made-up ones, with a marker behind them.
pub fn to_servers() -> anyhow::Result<()> {
    let behind = servers::hyper()?;
    let all: Vec<Server> = vec![servers::hyper()?, servers::nginx(&behind)?, servers::python()?];
    let mut cases: Vec<Vec<u8>> =
        requests().filter(|case| case.2 == Expected::Forward).map(|case| case.1.to_vec()).collect();
    let mut random = SmallRng::seed_from_u64(9112);
    cases.extend((0..MADE_UP).map(|_| (0..random.random_range(1..4)).flat_map(|_| made_up(&mut random)).collect()));
    let (mut failures, mut refused) = (Vec::new(), BTreeMap::new());
    for server in &all {
        let door = Door::to(server.address)?;
        for case in &cases {
            let bytes = [case.as_slice(), MARKER].concat();
            match agrees(&door, &bytes) {
                Ok(true) => {}
                Ok(false) => refused.entry(server.name).or_insert_with(Vec::new).push(show(case)),
                Err(error) => failures.push(format!("{}: {}: {error}", server.name, show(&bytes))),
            }
        }
    }
    for (name, cases) in &refused {
        // Not by print!, which the test harness keeps back.
        write!(std::io::stdout(), "({name} refuses {}) ", cases.len())?;
        println!("{name} refuses, or closes at, {}:\n{}", cases.len(), cases.join("\n"));
    }
    let most = refused.values().map(Vec::len).max().unwrap_or_default();
    anyhow::ensure!(most < cases.len() / 2, "{most} of {} cases were refused by a server", cases.len());
    report("connections to hyper, nginx and http.server", cases.len() * all.len(), &failures)
}

fn pick<'a>(random: &mut SmallRng, from: &[&'a [u8]]) -> &'a [u8] {
    from[random.random_range(0..from.len())]
}

/// A well-formed request as no client would send it.
fn made_up(random: &mut SmallRng) -> Vec<u8> {
    let method = pick(random, &[b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"HEAD", b"X-Y"]);
    let target = pick(
        random,
        &[b"/", b"/a?b=c", b"//a//b", b"/a/%2e%2e/%20", b"/a;b,c", b"http://x/a", b"http://X?q", b"/a?b?c=/d"],
    );
    let host = pick(random, &[b"Host: x", b"host:x", b"HOST:  x:80  ", b"hOST:x "]);
    let other = pick(
        random,
        &[
            b"",
            b"A:\r\n",
            b"A: b\r\nA: c\r\n",
            b"TE: trailers\r\n",
            b"X-A:\t\"b\\\" \r\n",
            b"Accept: \xe9\r\n",
            b"Expect: 100-continue\r\n",
        ],
    );
    let mut request = [method, b" ", target, b" HTTP/1.1\r\n", host, b"\r\n", other].concat();
    let body: Vec<u8> = (0..random.random_range(0..40))
        .map(|_| *b"\r\n0GET /x:;a"[..].get(random.random_range(0..12)).unwrap_or(&0))
        .collect();
    match random.random_range(0..3) {
        0 => request.extend(b"\r\n"),
        1 => {
            let name = pick(random, &[b"Content-Length: ", b"content-length:", b"CONTENT-LENGTH:  0"]);
            request.extend([name, body.len().to_string().as_bytes(), b"\r\n\r\n", &body].concat());
        }
        _ => {
            request
                .extend(pick(random, &[b"Transfer-Encoding: chunked\r\n\r\n", b"transfer-encoding:CHUNKED\r\n\r\n"]));
            chunked(random, &body, &mut request);
        }
    }
    request
}

/// `body` in chunks of any size, with extensions and trailers.
pub fn chunked(random: &mut SmallRng, mut body: &[u8], to: &mut Vec<u8>) {
    let extensions: [&[u8]; 5] = [b"", b";a", b";a=b", b"; a = \"b;\\\"c\"", b";a;b=\"\";c"];
    while !body.is_empty() {
        let (chunk, rest) = body.split_at(random.random_range(1..=body.len()));
        let size = if random.random() { format!("{:x}", chunk.len()) } else { format!("{:04X}", chunk.len()) };
        to.extend([size.as_bytes(), pick(random, &extensions), b"\r\n", chunk, b"\r\n"].concat());
        body = rest;
    }
    let last = pick(random, &[b"0", b"000"]);
    let trailers = pick(random, &[b"", b"T: u\r\n", b"T:\r\nU: \t\xe9 \r\n"]);
    to.extend([last, pick(random, &extensions), b"\r\n", trailers, b"\r\n"].concat());
}

/// Cases with a few bytes changed: what the agent still takes for well-formed, hyper frames in the same way.
pub fn mutated() -> anyhow::Result<()> {
    const BYTES: &[u8] = b"\r\n\t \0:;,=\"\\+-_.0159afxXT/\x0b\x0c\x7f\x80\xff";
    let cases: Vec<&[u8]> = requests().map(|case| case.1).collect();
    let mut random = SmallRng::seed_from_u64(9110);
    let mut well_formed = 0;
    for _ in 0..MUTATED {
        let mut bytes = cases[random.random_range(0..cases.len())].to_vec();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            let byte = BYTES[random.random_range(0..BYTES.len())];
            match random.random_range(0..4) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.swap(at, 0),
            }
        }
        bytes.extend(MARKER);
        well_formed += messages(&bytes).len();
        bytes.insert(0, random.random());
        anyhow::ensure!(std::panic::catch_unwind(|| framing(&bytes)).is_ok(), "{}", show(&bytes));
    }
    anyhow::ensure!(well_formed as u64 > MUTATED / 10, "only {well_formed} messages were well-formed");
    report("mutated connections", MUTATED as usize, &[])
}
