//! What requests that go on as they came cost: no allocation each, little memory while nothing is asked, no copy of what
//! is large.
//!
//! The agent's data path runs in this process, whose allocator counts. Client and service are this test, and allocate
//! nothing while it counts.

use std::alloc::System;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use cheops_agent::act::splice;
use cheops_tests::lab::eventually;
use cheops_tests::lab::ways::{InProcess, Way};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const GET: &[u8] = b"GET /v1/servers?limit=5 HTTP/1.1\r\nHost: x\r\nX-Auth-Token: abc\r\nAccept: */*\r\n\r\n";
const POST: &[u8] = b"POST /v1/servers HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{\"server\": \"vm-one\"}";
const CHUNKED: &[u8] =
    b"POST /v1/servers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// A service that is configured, and no limit in the way.
fn agent() -> InProcess {
    let configured = InProcess::configured(|service| {
        format!(
            "site = \"Berlin\"\n[[services]]\nname = \"Web\"\n[services.endpoints]\nBerlin = \"http://{service}\"\n\
             [limits]\nconnections = 20000\nconnections-per-client = 20000\n"
        )
    });
    configured.expect("an agent")
}

/// `pieces` from one end to the other, as one message that the other reads whole.
fn pass(from: &mut TcpStream, to: &mut TcpStream, pieces: &[&[u8]], seen: &mut [u8]) {
    let mut read = 0;
    for piece in pieces {
        from.write_all(piece).expect("open");
        // Each piece arrives before the next one leaves: the agent reads it by itself.
        let end = read + piece.len();
        to.read_exact(&mut seen[read..end]).expect("open");
        assert_eq!(&seen[read..end], *piece);
        read = end;
    }
}

fn exchange(client: &mut TcpStream, service: &mut TcpStream, request: &[&[u8]], seen: &mut [u8]) {
    pass(client, service, request, seen);
    pass(service, client, &[OK], seen);
}

#[test]
fn requests_allocate_nothing_once_a_connection_is_warm() {
    let agent = agent();
    let (mut client, mut service) = agent.open().expect("a connection");
    client.set_nodelay(true).expect("set");
    let mut seen = [0; 4096];
    let (head, body) = POST.split_at(POST.len() - 20);
    let kinds: [&[&[u8]]; 4] = [&[GET], &[POST], &[head, body], &[CHUNKED]];
    for kind in kinds {
        for _ in 0..1_000 {
            exchange(&mut client, &mut service, kind, &mut seen);
        }
        let before = ALLOCATOR.stats();
        for _ in 0..10_000 {
            exchange(&mut client, &mut service, kind, &mut seen);
        }
        let after = ALLOCATOR.stats();
        let made = after.allocations + after.reallocations - before.allocations - before.reallocations;
        // The door looks at its backlog and at its limits now and then, whatever the requests do.
        assert!(made <= 20, "{made} allocations in 10,000 of {:?}", String::from_utf8_lossy(kind[0]));
    }
}

#[test]
fn idle_connections_cost_little() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("as many descriptors as are allowed");
    // Both ends of both connections are in this process.
    let connections = usize::try_from(hard.saturating_sub(500) / 4).expect("a number").min(10_000);
    let agent = agent();
    let mut ends = Vec::with_capacity(connections + 100);
    let mut seen = [0; 4096];
    let mut more = |count: usize| {
        for _ in 0..count {
            let (mut client, mut service) = agent.open().expect("a connection");
            for kind in [GET, POST] {
                exchange(&mut client, &mut service, &[kind], &mut seen);
            }
            ends.push((client, service));
        }
    };
    more(100);
    let before = live();
    more(connections);
    let each = live().saturating_sub(before) / connections;
    println!("{connections} idle connections, {each} bytes each");
    assert!(each <= 8 * 1024, "{each} bytes");
}

/// Bytes that are allocated now.
fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[test]
fn large_bodies_go_uncopied_and_small_ones_need_no_pipe() {
    const LARGE: usize = 32 << 20;
    let agent = agent();
    let (mut client, mut service) = agent.open().expect("a connection");
    let before = splice::spliced();
    let mut seen = [0; 4096];
    exchange(&mut client, &mut service, &[POST], &mut seen);
    assert_eq!(splice::spliced(), before, "a small body is copied");
    for upload in [true, false] {
        let before = splice::spliced();
        let head = match upload {
            true => format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGE}\r\n\r\n"),
            false => format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n"),
        };
        let body: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
        if !upload {
            pass(&mut client, &mut service, &[GET], &mut seen);
        }
        let (from, to) = if upload { (&mut client, &mut service) } else { (&mut service, &mut client) };
        pass(from, to, &[head.as_bytes()], &mut seen);
        let mut got = vec![0; LARGE];
        thread::scope(|scope| {
            scope.spawn(|| from.write_all(&body).expect("open"));
            to.read_exact(&mut got).expect("open");
        });
        assert!(got == body, "other bytes came");
        if upload {
            pass(&mut service, &mut client, &[OK], &mut seen);
        }
        let uncopied = || splice::spliced() - before;
        assert!(eventually(Duration::from_secs(5), || uncopied() >= LARGE as u64 / 2), "{} bytes", uncopied());
    }
    exchange(&mut client, &mut service, &[GET], &mut seen);
}
