//! Connections that leave HTTP: upgrades and CONNECT.

use Step::{Close, End, Meet, Reset, Shut, WaitEnd};
use cheops_tests::lab::script::Step;

use super::{CONNECTED, CONNECTS, Case, GET, OK, SWITCHING, UPGRADES, case, filler, send, wait};

pub fn all() -> Vec<Case> {
    let mut cases = accepted("an upgrade", UPGRADES, SWITCHING);
    cases.extend(accepted("CONNECT", CONNECTS, CONNECTED));
    cases.extend(refused("an upgrade", UPGRADES));
    cases.extend(refused("CONNECT", CONNECTS));
    cases.extend(others());
    cases.extend(early());
    cases
}

/// The request is granted; what follows is bytes.
fn accepted(what: &str, asks: &str, grants: &str) -> Vec<Case> {
    let large = filler(300_000);
    let tunnel = |name: &str, client: &[Step], service: &[Step]| {
        case(
            format!("{what}, then {name}"),
            [&[send(asks), wait(grants)], client].concat(),
            [&[wait(asks), send(grants)], service].concat(),
        )
    };
    vec![
        tunnel("bytes both ways", &[send(b"\x81\x00\n"), wait(b"\x82\x00")], &[wait(b"\x81\x00\n"), send(b"\x82\x00")]),
        tunnel(
            "bytes that look like HTTP",
            &[send(GET), wait(OK), send("x\r\n\r\n")],
            &[wait(GET), send(OK), wait("x\r\n\r\n")],
        ),
        tunnel("the service speaks first", &[wait("a"), send("b")], &[send("a"), wait("b")]),
        tunnel("large bytes both ways", &[send(&large), wait(&large)], &[wait(&large), send(&large)]),
        tunnel(
            "the client ends its side first",
            &[send("a"), Shut, wait("b"), End],
            &[wait("a"), WaitEnd, send("b"), Close],
        ),
        tunnel(
            "the service ends its side first",
            &[WaitEnd, send("more"), Meet, Close],
            &[Shut, wait("more"), Meet, End],
        ),
        tunnel("the client closes", &[Close], &[End]),
        tunnel("the service closes", &[End], &[Close]),
        tunnel("the client resets", &[Meet, Reset], &[Meet, End]),
        tunnel("the service resets", &[Meet, End], &[Meet, Reset]),
        tunnel("the client resets after bytes", &[send("a"), Meet, Reset], &[wait("a"), Meet, End]),
        tunnel("the service resets after its side's end", &[WaitEnd, Meet, Close], &[Shut, Meet, Reset]),
        case(
            format!("{what} with early bytes of the client"),
            vec![send(format!("{asks}early")), wait(grants), Meet, wait("b")],
            vec![wait(asks), send(grants), Meet, wait("early"), send("b")],
        ),
        case(
            format!("{what} with bytes of the service behind its answer"),
            vec![send(asks), wait(format!("{grants}at once")), send("b")],
            vec![wait(asks), send(format!("{grants}at once")), wait("b")],
        ),
        case(
            format!("{what} behind an interim answer"),
            vec![send(asks), wait(super::CONTINUE), wait(grants), send("a"), wait("b")],
            vec![wait(asks), send(super::CONTINUE), send(grants), wait("a"), send("b")],
        ),
        case(
            format!("{what} as the second request"),
            vec![send(GET), wait(OK), send(asks), wait(grants), send("a"), wait("b")],
            vec![wait(GET), send(OK), wait(asks), send(grants), wait("a"), send("b")],
        ),
        case(
            format!("{what}, and the service closes instead of an answer"),
            vec![send(asks), End],
            vec![wait(asks), Close],
        ),
    ]
}

/// The request is answered as any other.
fn refused(what: &str, asks: &str) -> Vec<Case> {
    let no = "HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nno";
    let chunks = "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n";
    let last = "HTTP/1.1 501 No\r\nConnection: close\r\n\r\nno tunnel";
    let goes_on = |name: &str, answer: &str| {
        case(
            format!("{what} is refused {name}"),
            vec![send(asks), wait(answer), send(GET), wait(OK)],
            vec![wait(asks), send(answer), wait(GET), send(OK)],
        )
    };
    vec![
        goes_on("with a length", no),
        goes_on("with chunks", chunks),
        case(
            format!("{what} is refused with a close"),
            vec![send(asks), wait(last), End],
            vec![wait(asks), send(last), Close],
        ),
        case(
            format!("{what} is refused, and the next request came already"),
            vec![send(format!("{asks}{GET}")), wait(no), wait(OK)],
            vec![wait(asks), send(no), wait(GET), send(OK)],
        ),
    ]
}

fn others() -> Vec<Case> {
    let post = UPGRADES.replace("GET", "POST").replace("Upgrade: w", "Content-Length: 2\r\nUpgrade: w");
    let two = UPGRADES.replace("websocket", "a/1, b").replace("Connection: Upgrade", "connection: keep-alive, UPGRADE");
    vec![
        case(
            "an upgrade is ignored with 200",
            vec![send(UPGRADES), wait(OK), send(GET), wait(OK)],
            vec![wait(UPGRADES), send(OK), wait(GET), send(OK)],
        ),
        case(
            "an upgrade with a body",
            vec![send(format!("{post}ab")), wait(SWITCHING), send("c"), wait("d")],
            vec![wait(format!("{post}ab")), send(SWITCHING), wait("c"), send("d")],
        ),
        case(
            "an upgrade to one of several protocols",
            vec![send(&two), wait(SWITCHING.replace("websocket", "b")), send("c"), wait("d")],
            vec![wait(&two), send(SWITCHING.replace("websocket", "b")), wait("c"), send("d")],
        ),
        case(
            "CONNECT that is granted with a length that means nothing",
            vec![
                send(CONNECTS),
                wait("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
                send("a"),
                wait("longer than five"),
            ],
            vec![
                wait(CONNECTS),
                send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
                wait("a"),
                send("longer than five"),
            ],
        ),
        case(
            "CONNECT that is granted with 204",
            vec![send(CONNECTS), wait("HTTP/1.1 204 OK\r\n\r\n"), send("a"), wait("b")],
            vec![wait(CONNECTS), send("HTTP/1.1 204 OK\r\n\r\n"), wait("a"), send("b")],
        ),
    ]
}

/// The service leaves HTTP before it has the request whole.
fn early() -> Vec<Case> {
    let body = filler(8 << 20);
    let asks =
        |length: &str| format!("{}{length}\r\n\r\n", UPGRADES.replace("GET", "POST").trim_end_matches("\r\n\r\n"));
    let asks_sized = asks(&format!("\r\nContent-Length: {}", body.len()));
    let asks_chunked = asks("\r\nTransfer-Encoding: chunked");
    let chunks: Vec<u8> = body.chunks(1 << 20).flat_map(super::chunk).chain(*b"0\r\n\r\n").collect();
    let granted = |name: &str, asks: &str, body: &[u8]| {
        case(
            name,
            vec![send(asks), send(body), wait(SWITCHING), send("c"), wait("d")],
            vec![
                wait(asks),
                Step::Rest(std::time::Duration::from_millis(200)),
                send(SWITCHING),
                Step::Rest(std::time::Duration::from_millis(50)),
                wait(body),
                wait("c"),
                send("d"),
            ],
        )
    };
    vec![
        granted("an upgrade is granted inside a large body", &asks_sized, &body),
        granted("an upgrade is granted inside large chunks", &asks_chunked, &chunks),
        granted("an upgrade is granted before a small body", &asks("\r\nContent-Length: 5"), b"12345"),
    ]
}
