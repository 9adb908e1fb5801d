//! How long is waited: for heads, bodies, the next request, the service, and for either end of a tunnel.

use std::time::{Duration, Instant};

use anyhow::ensure;
use cheops_tests::lab::{Client, End};

use super::scene::{Case, GET, SOON, Scene, is_problem};

const HEADER_READ: &str = "timeouts.header-read = '300ms'";
/// Long enough for a pause that the machine makes.
const BODY_READ: &str = "timeouts.body-read = '1s'";
const LATE: (&str, u16, &str) = ("timeouts.header-read", 408, "request-timeout");

pub const CASES: &[Case] = &[
    Case {
        name: "half a head",
        limit: "header-read",
        keys: HEADER_READ,
        play: |scene| late(&mut scene.client()?, "GET / HTTP/1.1\r\nHost: x\r\n", LATE),
    },
    Case {
        name: "half a method",
        limit: "header-read",
        keys: HEADER_READ,
        play: |scene| late(&mut scene.client()?, "GE", LATE),
    },
    Case {
        name: "half of the second head",
        limit: "header-read",
        keys: HEADER_READ,
        play: |scene| {
            let mut client = scene.client()?;
            ensure!(client.exchange(GET)?.status == 200);
            late(&mut client, "GET / HTTP/1.1\r\n", LATE)
        },
    },
    Case {
        name: "a head byte by byte",
        limit: "header-read",
        keys: HEADER_READ,
        play: |scene| trickle(&mut scene.client()?, &format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(1000))),
    },
    Case {
        name: "empty lines and a method byte by byte",
        limit: "header-read",
        keys: HEADER_READ,
        play: |scene| trickle(&mut scene.client()?, &format!("{}DELETE / HTTP/1.1\r\n", "\r\n".repeat(500))),
    },
    Case {
        name: "fields byte by byte",
        limit: "header-read",
        keys: HEADER_READ,
        play: |scene| {
            trickle(&mut scene.client()?, &format!("GET / HTTP/1.1\r\nHost: x\r\n{}", "A: b\r\n".repeat(500)))
        },
    },
    Case {
        name: "half of an answer's head",
        limit: "header-read",
        keys: HEADER_READ,
        play: |scene| {
            let (mut client, mut service) = scene.own_service(GET)?;
            service.send("HTTP/1.1 200 OK\r\nContent-")?;
            is_problem(&client.answer()?, 504, "timeout", "timeouts.header-read")
        },
    },
    Case {
        name: "a body that stops",
        limit: "body-read",
        keys: BODY_READ,
        play: |scene| {
            late(&mut scene.client()?, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234", LATE_BODY)
        },
    },
    Case {
        name: "a chunk that stops",
        limit: "body-read",
        keys: BODY_READ,
        play: |scene| {
            late(
                &mut scene.client()?,
                "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12",
                LATE_BODY,
            )
        },
    },
    Case {
        name: "no body at all",
        limit: "body-read",
        keys: BODY_READ,
        play: |scene| {
            late(&mut scene.client()?, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", LATE_BODY)?;
            body_that_goes_on(scene)
        },
    },
    Case { name: "an idle connection", limit: "idle", keys: "timeouts.idle = '300ms'", play: idle },
    Case {
        name: "a service that never accepts",
        limit: "connect",
        keys: "timeouts.connect = '300ms'",
        play: |scene| {
            let _full = super::places::Full::new(scene)?;
            let begin = Instant::now();
            let mut client = scene.host().connect(scene.own())?;
            is_problem(&client.exchange(GET)?, 502, "service-unreachable", "timeouts.connect")?;
            ensure!(begin.elapsed() < SOON);
            Ok(())
        },
    },
    Case {
        name: "a tunnel that its client half-closed",
        limit: "half-closed",
        keys: HALF_CLOSED,
        play: |scene| {
            let (mut client, mut service) = tunnel(scene)?;
            client.half_close()?;
            ensure!(service.read_to_end()?.is_empty(), "the half-close reaches the service");
            still_open(&mut service, &mut client)?;
            ensure!(client.ends()? == End::Closed);
            Ok(())
        },
    },
    Case {
        name: "a tunnel that its service half-closed",
        limit: "half-closed",
        keys: HALF_CLOSED,
        play: |scene| {
            let (mut client, mut service) = tunnel(scene)?;
            service.half_close()?;
            ensure!(client.read_to_end()?.is_empty(), "the half-close reaches the client");
            still_open(&mut client, &mut service)?;
            ensure!(service.ends()? == End::Closed);
            Ok(())
        },
    },
];

const LATE_BODY: (&str, u16, &str) = ("timeouts.body-read", 408, "request-timeout");
const HALF_CLOSED: &str = "timeouts.half-closed = '1200ms'";

/// After this nothing comes for longer than is waited.
fn late(client: &mut Client, begins: &str, (key, status, code): (&str, u16, &str)) -> anyhow::Result<()> {
    let begin = Instant::now();
    client.send(begins)?;
    is_problem(&client.answer()?, status, code, key)?;
    ensure!(begin.elapsed() >= Duration::from_millis(290), "after {:?} already", begin.elapsed());
    ensure!(client.ends()? == End::Closed);
    Ok(())
}

/// A byte now and then makes the time no longer.
fn trickle(client: &mut Client, text: &str) -> anyhow::Result<()> {
    let begin = Instant::now();
    client.patience(Duration::from_millis(20))?;
    for byte in text.as_bytes().chunks(1) {
        if client.send(byte).is_err() || !client.silent_for(Duration::from_millis(20))? {
            break;
        }
    }
    let took = begin.elapsed();
    // All of it would take twice as long.
    ensure!(took >= Duration::from_millis(290) && took < SOON, "it was cut after {took:?}");
    client.patience(SOON)?;
    is_problem(&client.answer()?, 408, "request-timeout", "timeouts.header-read")
}

/// The time is for a pause, not for the whole.
fn body_that_goes_on(scene: &Scene) -> anyhow::Result<()> {
    let mut client = scene.client()?;
    client.send("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n")?;
    client.send_slowly("123456789012", 1, Duration::from_millis(120))?;
    ensure!(client.answer()?.status == 200, "a slow body is served");
    Ok(())
}

fn idle(scene: &Scene) -> anyhow::Result<()> {
    let mut client = scene.client()?;
    let begin = Instant::now();
    ensure!(client.exchange("GET /slow/700 HTTP/1.1\r\nHost: x\r\n\r\n")?.status == 200, "an exchange isn't idle");
    ensure!(client.ends()? == End::Closed);
    let took = begin.elapsed();
    ensure!(took >= Duration::from_millis(990) && took < SOON, "it ends after {took:?}");
    Ok(())
}

/// A tunnel whose two ends have said something.
fn tunnel(scene: &Scene) -> anyhow::Result<(Client, Client)> {
    let asks = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: lab\r\n\r\n";
    let (mut client, mut service) = scene.own_service(asks)?;
    service.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lab\r\n\r\n")?;
    ensure!(client.answer()?.status == 101);
    client.send("there")?;
    ensure!(service.read_exact(5)? == b"there");
    Ok((client, service))
}

/// The way that is open stays so while something moves in it.
fn still_open(from: &mut Client, to: &mut Client) -> anyhow::Result<()> {
    for _ in 0..8 {
        from.send("x")?;
        ensure!(to.read_exact(1)? == b"x");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
