//! Slow ends, and small steps.

use std::time::Duration;

use Step::{Close, End, Narrow, Rest};
use cheops_tests::lab::script::Step;

use super::{
    CHUNKED, CHUNKED_ANSWER, Case, GET, OK, SWITCHING, UPGRADES, case, chunk, filler, send, sip, sized, trickle, twice,
    wait,
};

const SMALL: usize = 4096;
const LARGE: usize = 64 << 10;

pub fn all() -> Vec<Case> {
    let mut cases = bytes();
    cases.extend(readers());
    cases.extend(writers());
    cases
}

/// Byte by byte.
fn bytes() -> Vec<Case> {
    let put = sized("PUT / HTTP/1.1\r\nHost: x\r\n", b"12345");
    vec![
        case("a request byte by byte", vec![trickle(GET), wait(OK)], vec![wait(GET), send(OK)]),
        case("an answer byte by byte", vec![send(GET), wait(OK)], vec![wait(GET), trickle(OK)]),
        case("both byte by byte, twice", twice(&[trickle(GET), wait(OK)]), twice(&[wait(GET), trickle(OK)])),
        case("a body byte by byte", vec![trickle(&put), wait(OK)], vec![wait(&put), send(OK)]),
        case(
            "an upgrade byte by byte",
            vec![trickle(UPGRADES), wait(SWITCHING), trickle("abc"), wait("def")],
            vec![wait(UPGRADES), trickle(SWITCHING), wait("abc"), trickle("def")],
        ),
        case(
            "TLS byte by byte",
            vec![trickle(b"\x16\x03\x01\x00\x02\x01\x00"), wait("\x15")],
            vec![wait(b"\x16\x03\x01\x00\x02\x01\x00"), trickle("\x15")],
        ),
        case(
            "HTTP/2 byte by byte",
            vec![trickle("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04"), wait("\0")],
            vec![wait("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04"), trickle("\0")],
        ),
        case(
            "a line protocol byte by byte",
            vec![trickle("NICK a\r\n"), wait("PING\r\n")],
            vec![wait("NICK a\r\n"), trickle("PING\r\n")],
        ),
        case(
            "the service speaks first, byte by byte",
            vec![wait("220 x\r\n"), send("QUIT\r\n")],
            vec![trickle("220 x\r\n"), wait("QUIT\r\n")],
        ),
        case(
            "an unasked 408 byte by byte",
            vec![wait("HTTP/1.1 408 Late\r\n\r\n"), End],
            vec![trickle("HTTP/1.1 408 Late\r\n\r\n"), Close],
        ),
        case(
            "a client that speaks late",
            vec![Rest(Duration::from_millis(1200)), send(GET), wait(OK)],
            vec![wait(GET), send(OK)],
        ),
        case(
            "a method in two parts, a second apart",
            vec![send("PROP"), Rest(Duration::from_millis(300)), send("FIND / HTTP/1.1\r\nHost: x\r\n\r\n"), wait(OK)],
            vec![wait("PROPFIND / HTTP/1.1\r\nHost: x\r\n\r\n"), send(OK)],
        ),
    ]
}

/// One end reads slowly what the other sends as fast as it can.
fn readers() -> Vec<Case> {
    let body = filler(400_000);
    // More than all buffers on the way hold.
    let more = filler(7 << 20);
    let (up, down) = (sized("PUT / HTTP/1.1\r\nHost: x\r\n", &body), sized("HTTP/1.1 200 OK\r\n", &body));
    let chunks: Vec<u8> = body.chunks(5000).flat_map(chunk).chain(*b"0\r\n\r\n").collect();
    let (chunked_up, chunked_down) =
        ([CHUNKED.as_bytes(), &chunks].concat(), [CHUNKED_ANSWER.as_bytes(), &chunks].concat());
    let closed = [b"HTTP/1.0 200 OK\r\n\r\n", body.as_slice()].concat();
    let pause = Rest(Duration::from_millis(200));
    vec![
        case(
            "the client reads a long answer slowly",
            vec![Narrow(64 << 10), send(GET), sip(&down, SMALL)],
            vec![wait(GET), send(&down)],
        ),
        case(
            "the client begins to read late",
            vec![Narrow(64 << 10), send(GET), pause.clone(), wait(&down)],
            vec![wait(GET), send(&down)],
        ),
        case(
            "the client reads chunks slowly",
            vec![Narrow(64 << 10), send(GET), sip(&chunked_down, 3000)],
            vec![wait(GET), send(&chunked_down)],
        ),
        case(
            "the client reads until the close slowly",
            vec![Narrow(64 << 10), send(GET), sip(&closed, SMALL), End],
            vec![wait(GET), send(&closed), Close],
        ),
        case(
            "the service reads a long body slowly",
            vec![send(&up), wait(OK)],
            vec![Narrow(64 << 10), sip(&up, SMALL), send(OK)],
        ),
        case(
            "the service begins to read late",
            vec![send(&up), wait(OK)],
            vec![Narrow(64 << 10), pause, wait(&up), send(OK)],
        ),
        case(
            "the service reads chunks slowly",
            vec![send(&chunked_up), wait(OK)],
            vec![Narrow(64 << 10), sip(&chunked_up, 3000), send(OK)],
        ),
        case(
            "both ends read a tunnel slowly",
            vec![Narrow(64 << 10), send(UPGRADES), wait(SWITCHING), send(&more), sip(&more, LARGE)],
            vec![Narrow(64 << 10), wait(UPGRADES), send(SWITCHING), sip(&more, LARGE), send(&more)],
        ),
        case(
            "the service reads other traffic slowly",
            vec![send(b"\0"), send(&more), wait("k")],
            vec![Narrow(64 << 10), sip([b"\0", more.as_slice()].concat(), LARGE), send("k")],
        ),
    ]
}

/// One end writes slowly.
fn writers() -> Vec<Case> {
    let body = filler(20_000);
    let (up, down) = (sized("PUT / HTTP/1.1\r\nHost: x\r\n", &body), sized("HTTP/1.1 200 OK\r\n", &body));
    let slowly = |bytes: &[u8]| -> Vec<Step> {
        bytes.chunks(1000).flat_map(|piece| [send(piece), Rest(Duration::from_millis(5))]).collect()
    };
    let chunks = |size: usize| -> Vec<u8> { body.chunks(size).flat_map(chunk).chain(*b"0\r\n\r\n").collect() };
    let in_chunks = |size: usize| {
        let (up, down) =
            ([CHUNKED.as_bytes(), &chunks(size)].concat(), [CHUNKED_ANSWER.as_bytes(), &chunks(size)].concat());
        super::answered(format!("20 kB in chunks of {size} bytes both ways"), up, down)
    };
    let mut cases: Vec<Case> = [1, 7, 512, 4094, 4096].map(in_chunks).into();
    cases.push(case(
        "the client writes a body slowly",
        [slowly(&up), vec![wait(OK)]].concat(),
        vec![wait(&up), send(OK)],
    ));
    cases.push(case(
        "the service writes an answer slowly",
        vec![send(GET), wait(&down)],
        [vec![wait(GET)], slowly(&down)].concat(),
    ));
    cases.push(case(
        "both write slowly",
        [slowly(&up), vec![wait(&down)]].concat(),
        [vec![wait(&up)], slowly(&down)].concat(),
    ));
    cases
}
