//! A service that answers whatever it likes can't make the agent take a scoped request for something else.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cheops_tests::lab::ways::{InProcess, Way, report};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use socket2::SockRef;

const WORKERS: u64 = 8;
const CONNECTIONS: u64 = 1000;
/// How long one connection may last; it is cut then.
const MOST: Duration = Duration::from_secs(3);

const SCOPED: &[u8] = b"GET /s HTTP/1.1\r\nHost: x\r\nX-Scope: {app: Nowhere}\r\n\r\n";
const REQUESTS: [&[u8]; 5] = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
];
const ANSWERS: [&[u8]; 11] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n",
    b"HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    b"HTTP/1.",
    b"\0\r\nzz",
];

/// Well-formed requests, one of them with a scope that names no site.
fn pipeline(random: &mut SmallRng) -> Vec<u8> {
    let mut said = Vec::new();
    let scoped = random.random_range(0..4);
    for number in 0..random.random_range(scoped + 1..6) {
        let plain = REQUESTS[random.random_range(0..REQUESTS.len())];
        said.extend_from_slice(if number == scoped { SCOPED } else { plain });
    }
    said
}

fn speak(stream: &mut TcpStream, random: &mut SmallRng, said: &[u8]) {
    for piece in said.chunks(random.random_range(1..200)) {
        if stream.write_all(piece).is_err() {
            return;
        }
        if random.random_range(0..8) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    let mut seen = [0; 4096];
    let until = Instant::now() + MOST;
    while Instant::now() < until && stream.read(&mut seen).is_ok_and(|read| read > 0) {}
}

/// Answers at each read what comes into its head; all that it has read.
fn answer(stream: &mut TcpStream, random: &mut SmallRng) -> Vec<u8> {
    let (mut all, mut seen, until) = (Vec::new(), [0; 4096], Instant::now() + MOST);
    while Instant::now() < until {
        match stream.read(&mut seen) {
            Ok(read @ 1..) => all.extend_from_slice(&seen[..read]),
            _ => break,
        }
        for _ in 0..random.random_range(0..3) {
            // The other end may have gone.
            drop(stream.write_all(ANSWERS[random.random_range(0..ANSWERS.len())]));
        }
        if random.random_range(0..12) == 0 {
            drop(stream.shutdown(Shutdown::Write));
        }
    }
    if random.random_range(0..3) == 0 {
        drop(SockRef::from(&*stream).set_linger(Some(Duration::ZERO)));
    }
    all
}

#[test]
fn no_answer_makes_a_scoped_request_pass() -> anyhow::Result<()> {
    let way = InProcess::new()?;
    let heard = AtomicU64::new(0);
    let work = |seed| -> anyhow::Result<()> {
        let mut random = SmallRng::seed_from_u64(seed);
        for _ in 0..CONNECTIONS / WORKERS {
            let (mut client, mut service) = way.open()?;
            for end in [&client, &service] {
                end.set_read_timeout(Some(Duration::from_millis(100)))?;
                end.set_write_timeout(Some(MOST))?;
                end.set_nodelay(true)?;
            }
            let said = pipeline(&mut random);
            let mut other = SmallRng::seed_from_u64(random.random());
            let got = thread::scope(|scope| {
                let answering = scope.spawn(|| answer(&mut service, &mut other));
                speak(&mut client, &mut random, &said);
                answering.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            heard.fetch_add(u64::from(!got.is_empty()), Ordering::Relaxed);
            let (got, said) = (String::from_utf8_lossy(&got), String::from_utf8_lossy(&said));
            anyhow::ensure!(!got.contains("X-Scope"), "seed {seed}: of\n{said}\nthe service saw\n{got}");
        }
        Ok(())
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..WORKERS).map(|seed| scope.spawn(move || work(seed))).collect();
        all.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    anyhow::ensure!(heard.load(Ordering::Relaxed) > CONNECTIONS / 4, "the services heard too little");
    report("connections with a scoped request and a wild service", usize::try_from(CONNECTIONS)?, &[])
}
