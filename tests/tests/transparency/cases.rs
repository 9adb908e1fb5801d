//! What a client and a service may do on a connection: every case must look the same with an agent in between.

use std::time::Duration;

use Step::{Close, End, Reset, Shut, WaitEnd, WaitLength};
use cheops_tests::lab::script::Step;

/// A client and a service.
pub struct Case {
    pub name: &'static str,
    pub client: Vec<Step>,
    pub service: Vec<Step>,
}

fn case(name: &'static str, client: Vec<Step>, service: Vec<Step>) -> Case {
    Case { name, client, service }
}

/// The service reads this request and gives this answer; the client reads it and closes.
fn answered(name: &'static str, request: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) -> Case {
    case(name, vec![send(&request), wait(&answer)], vec![wait(&request), send(&answer)])
}

/// The same, but the answer ends with the service's close.
fn until_close(name: &'static str, request: impl AsRef<[u8]>, answer: impl AsRef<[u8]>) -> Case {
    case(name, vec![send(&request), wait(&answer), End], vec![wait(&request), send(&answer), Close])
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

const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const EXPECTS: &str = "PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const CHUNKED: &str = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
const UPGRADES: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const CONNECTS: &str = "CONNECT y:1 HTTP/1.1\r\nHost: y:1\r\n\r\n";

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases = heads();
    cases.extend(bodies());
    cases.extend(interim());
    cases.extend(sequences());
    cases.extend(tunnels());
    cases.extend(ends());
    cases.extend(others());
    cases
}

fn heads() -> Vec<Case> {
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\nBig: {}\r\n\r\n", "b".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(200));
    vec![
        answered(
            "order, case and duplicates of fields",
            "GET / HTTP/1.1\r\nx-B: 2\r\nHOST: x\r\nX-a: 1\r\nx-b: 3\r\nX-B: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nsEt-Cookie: a\r\nCONTENT-length: 0\r\nSet-cookie: b\r\n\r\n",
        ),
        answered(
            "bytes above 127",
            b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: x\r\nA: \xe9\xff\r\n\r\n",
            b"HTTP/1.1 200 \xe9t\xe9\r\nA: \xfe\r\nContent-Length: 0\r\n\r\n",
        ),
        answered("white space around values", "GET / HTTP/1.1\r\nHost:x\r\nA:   b c \t\r\nEmpty:\r\n\r\n", OK),
        answered("absolute-form", "GET http://other:1/a?b HTTP/1.1\r\nHost: x\r\n\r\n", OK),
        answered("asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", OK),
        answered("odd characters in the target", "GET /a{}|^`\"<>\\#;,?[]= HTTP/1.1\r\nHost: x\r\n\r\n", OK),
        answered("encoded and dotted paths", "GET //a/../%2e%2E/%2f;x=1?&&= HTTP/1.1\r\nHost: x\r\n\r\n", OK),
        answered("a method of WebDAV", "PROPFIND / HTTP/1.1\r\nHost: x\r\nDepth: 1\r\n\r\n", OK),
        answered("a method that nobody knows", "b!r#e.w / HTTP/1.1\r\nHost: x\r\n\r\n", OK),
        until_close("1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nold"),
        answered(
            "1.0 with Host and keep-alive",
            "GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        ),
        answered("an empty line before the request", "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", OK),
        answered("a head of 40 kB", large, OK),
        answered("200 fields", many, OK),
        answered(
            "hop-by-hop fields",
            "GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE\r\nKeep-Alive: 5\r\nProxy-Authorization: b\r\n\r\n",
            OK,
        ),
        answered("a status without a reason", GET, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
        answered("a status that nobody knows", GET, "HTTP/1.1 799 Why not\r\nContent-Length: 0\r\n\r\n"),
        answered("a scope of another product", "GET /?scope=openid HTTP/1.1\r\nHost: x\r\nScope: {A: B}\r\n\r\n", OK),
        case("one byte at a time", vec![trickle(GET), wait(OK)], vec![wait(GET), trickle(OK)]),
    ]
}

fn bodies() -> Vec<Case> {
    let sized = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345";
    let chunks = "3;ext=\"q;\\\"\"\r\nabc\r\n01;e\r\nd\r\n0;end\r\nTrailer-A: 1\r\ntrailer-b:\r\n\r\n";
    let many: String = (0..500).map(|at| format!("1\r\n{}\r\n", at % 10)).collect();
    let large = vec![b'x'; 8 << 20];
    let up =
        [format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", large.len()).as_bytes(), &large].concat();
    let down = [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", large.len()).as_bytes(), &large].concat();
    let chunked_answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    vec![
        answered("a body of a known length", sized, OK),
        answered("a GET with a body", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", OK),
        answered(
            "Content-Length: 0 both ways",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n",
        ),
        answered("a POST without any length", "POST / HTTP/1.1\r\nHost: x\r\n\r\n", OK),
        answered("chunks, extensions and trailers of a request", format!("{CHUNKED}{chunks}"), OK),
        answered("chunks, extensions and trailers of an answer", GET, format!("{chunked_answer}{chunks}")),
        answered("many small chunks", format!("{CHUNKED}{many}0\r\n\r\n"), format!("{chunked_answer}{many}0\r\n\r\n")),
        case(
            "a chunked body one byte at a time",
            vec![trickle(format!("{CHUNKED}{chunks}")), wait(format!("{chunked_answer}{chunks}"))],
            vec![wait(format!("{CHUNKED}{chunks}")), trickle(format!("{chunked_answer}{chunks}"))],
        ),
        answered(
            "the answer to HEAD",
            "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
        ),
        answered(
            "the chunked answer to HEAD",
            "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        answered("204", GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        answered(
            "304 with the length of what isn't sent",
            GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
        ),
        until_close("a body until the close", GET, "HTTP/1.1 200 OK\r\n\r\nuntil close"),
        until_close("an empty body until the close", GET, "HTTP/1.1 200 OK\r\n\r\n"),
        until_close("gzip until the close", GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n\x1f..."),
        answered("8 MiB up", &up, OK),
        answered("8 MiB down", GET, &down),
        case(
            "a slow reader",
            vec![send(GET), Step::Rest(Duration::from_millis(300)), wait(&down)],
            vec![wait(GET), send(&down)],
        ),
        case(
            "both directions at once",
            vec![
                send(CHUNKED),
                send("1\r\na\r\n"),
                wait(format!("{chunked_answer}1\r\nA\r\n")),
                send("1\r\nb\r\n"),
                wait("1\r\nB\r\n"),
                send("0\r\n\r\n"),
                wait("0\r\n\r\n"),
            ],
            vec![
                wait(CHUNKED),
                wait("1\r\na\r\n"),
                send(chunked_answer),
                send("1\r\nA\r\n"),
                wait("1\r\nb\r\n"),
                send("1\r\nB\r\n"),
                wait("0\r\n\r\n"),
                send("0\r\n\r\n"),
            ],
        ),
    ]
}

fn interim() -> Vec<Case> {
    vec![
        answered("103 before the answer", GET, format!("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n{OK}")),
        answered("several interim answers", GET, format!("{CONTINUE}HTTP/1.1 102 Processing\r\n\r\n{CONTINUE}{OK}")),
        case(
            "100-continue, and the body is wanted",
            vec![send(EXPECTS), wait(CONTINUE), send("12345"), wait(OK)],
            vec![wait(EXPECTS), send(CONTINUE), wait("12345"), send(OK)],
        ),
        case(
            "100-continue, and the body isn't wanted",
            vec![send(EXPECTS), wait("HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), End],
            vec![wait(EXPECTS), send("HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), Close],
        ),
        case(
            "100-continue, and the client doesn't wait",
            vec![send(EXPECTS), send("12345"), wait(OK)],
            vec![wait(EXPECTS), wait("12345"), send(OK)],
        ),
        case(
            "an answer before the body",
            vec![
                send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"),
                wait(OK),
                send("12345"),
                send(GET),
                wait(OK),
            ],
            vec![
                wait("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"),
                send(OK),
                wait("12345"),
                wait(GET),
                send(OK),
            ],
        ),
        case(
            "an answer before the body, and a close",
            vec![
                send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12"),
                wait("HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
                End,
            ],
            vec![
                wait("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12"),
                send("HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
                Close,
            ],
        ),
    ]
}

fn sequences() -> Vec<Case> {
    let numbered = |at: usize| format!("GET /{at} HTTP/1.1\r\nHost: x\r\n\r\n");
    let answers = |at: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{at:03}");
    let all = |of: &dyn Fn(usize) -> String| (0..100).map(of).collect::<String>();
    let posts: String = (0..20).map(|at| format!("{CHUNKED}2\r\n{at:02}\r\n0\r\n\r\n")).collect();
    let mut service: Vec<Step> = (0..100).flat_map(|at| [wait(numbered(at)), send(answers(at))]).collect();
    let pipeline =
        case("a pipeline of 100", vec![send(all(&numbered)), wait(all(&answers))], std::mem::take(&mut service));
    let post = |at: usize| format!("{CHUNKED}2\r\n{at:02}\r\n0\r\n\r\n");
    let post_service = (0..20).flat_map(|at| [wait(post(at)), send(answers(at))]).collect();
    let post_answers: String = (0..20).map(answers).collect();
    vec![
        pipeline,
        case("a pipeline of bodies", vec![send(posts), wait(post_answers)], post_service),
        case(
            "one request after another",
            vec![send(GET), wait(OK), send(EXPECTS), send("12345"), wait(OK), send(GET), wait(OK)],
            vec![wait(GET), send(OK), wait(EXPECTS), wait("12345"), send(OK), wait(GET), send(OK)],
        ),
        case(
            "the client says that it is its last request",
            vec![send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), wait(OK), End],
            vec![wait("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), send(OK), Close],
        ),
        case(
            "the service says that it is its last answer",
            vec![send(GET), wait("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), End],
            vec![wait(GET), send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), Close],
        ),
    ]
}

fn tunnels() -> Vec<Case> {
    let refused = "HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nno";
    vec![
        case(
            "an upgrade that is accepted",
            vec![send(UPGRADES), wait(SWITCHING), send(b"\x81\x00\n"), wait(b"\x82\x00"), Shut, wait(b"\x88")],
            vec![wait(UPGRADES), send(SWITCHING), wait(b"\x81\x00\n"), send(b"\x82\x00"), send(b"\x88"), End],
        ),
        case(
            "an upgrade with early bytes of both ends",
            vec![send(format!("{UPGRADES}early")), wait(format!("{SWITCHING}too"))],
            vec![wait(UPGRADES), send(format!("{SWITCHING}too")), wait("early")],
        ),
        case(
            "an upgrade that is refused",
            vec![send(UPGRADES), wait(refused), send(GET), wait(OK)],
            vec![wait(UPGRADES), send(refused), wait(GET), send(OK)],
        ),
        case(
            "CONNECT that is accepted",
            vec![send(CONNECTS), wait("HTTP/1.1 200 Yes\r\n\r\n"), send("\x16\x03\x01"), wait("\x16\x03\x03")],
            vec![wait(CONNECTS), send("HTTP/1.1 200 Yes\r\n\r\n"), wait("\x16\x03\x01"), send("\x16\x03\x03")],
        ),
        case(
            "CONNECT that is refused",
            vec![send(CONNECTS), wait(refused), send(GET), wait(OK)],
            vec![wait(CONNECTS), send(refused), wait(GET), send(OK)],
        ),
        case(
            "the service ends its side of a tunnel first",
            vec![
                send(UPGRADES),
                wait(SWITCHING),
                wait("last"),
                Step::Rest(Duration::from_millis(50)),
                send("more"),
                Shut,
                End,
            ],
            vec![wait(UPGRADES), send(SWITCHING), send("last"), Shut, wait("more"), End],
        ),
    ]
}

fn ends() -> Vec<Case> {
    vec![
        case(
            "the client ends its side after its request",
            vec![send(GET), Shut, wait(OK), End],
            vec![wait(GET), WaitEnd, send(OK), Close],
        ),
        case(
            "the client ends its side after a pipeline",
            vec![send(format!("{GET}{GET}")), Shut, wait(OK), wait(OK), End],
            vec![wait(GET), send(OK), wait(GET), WaitEnd, send(OK), Close],
        ),
        case(
            "the client ends its side, and the answer has no length",
            vec![send(GET), Shut, wait("HTTP/1.1 200 OK\r\n\r\nto the end"), End],
            vec![wait(GET), WaitEnd, send("HTTP/1.1 200 OK\r\n\r\nto the end"), Close],
        ),
        case(
            "the client ends its side inside its body",
            vec![send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12"), Shut, End],
            vec![End],
        ),
        case(
            "the client resets while it is served",
            vec![send(GET), Step::Rest(Duration::from_millis(50)), Reset],
            vec![wait(GET), End],
        ),
        case("the service closes without an answer", vec![send(GET), End], vec![wait(GET), Close]),
        case("the service resets instead of an answer", vec![send(GET), End], vec![wait(GET), Reset]),
        case(
            "the service closes inside its answer",
            vec![send(GET), End],
            vec![wait(GET), send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), Close],
        ),
        case(
            "the service resets inside its answer",
            vec![send(GET), WaitLength(42), End],
            vec![
                wait(GET),
                send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
                Step::Rest(Duration::from_millis(50)),
                Reset,
            ],
        ),
        case(
            "the service closes between two requests",
            vec![send(GET), wait(OK), End],
            vec![wait(GET), send(OK), Close],
        ),
        case(
            "the service gives up waiting with a 408",
            vec![send(GET), wait(OK), wait("HTTP/1.1 408 Late\r\nConnection: close\r\n\r\n"), End],
            vec![
                wait(GET),
                send(OK),
                Step::Rest(Duration::from_millis(50)),
                send("HTTP/1.1 408 Late\r\nConnection: close\r\n\r\n"),
                Close,
            ],
        ),
        case("the client closes at once", vec![Close], vec![End]),
        case("the service closes at once", vec![End], vec![Close]),
    ]
}

fn others() -> Vec<Case> {
    vec![
        case(
            "the service speaks first",
            vec![wait("220 ready\r\n"), send("QUIT\r\n"), wait("221 bye\r\n"), End],
            vec![send("220 ready\r\n"), wait("QUIT\r\n"), send("221 bye\r\n"), Close],
        ),
        case(
            "a silent client gets an unasked 408",
            vec![wait("HTTP/1.1 408 Late\r\n\r\n"), End],
            vec![Step::Rest(Duration::from_millis(50)), send("HTTP/1.1 408 Late\r\n\r\n"), Close],
        ),
        case(
            "a client that speaks late",
            vec![Step::Rest(Duration::from_millis(1200)), send(GET), wait(OK)],
            vec![wait(GET), send(OK)],
        ),
        case(
            "TLS",
            vec![send(b"\x16\x03\x01\x00\x05hello"), wait(b"\x16\x03\x03\x00\x00")],
            vec![wait(b"\x16\x03\x01\x00\x05hello"), send(b"\x16\x03\x03\x00\x00")],
        ),
        case(
            "HTTP/2",
            vec![send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04"), wait("\0\0\0\x04")],
            vec![wait("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04"), send("\0\0\0\x04")],
        ),
        case(
            "a line protocol",
            vec![send("*1\r\n$4\r\nPING\r\n"), wait("+PONG\r\n")],
            vec![wait("*1\r\n$4\r\nPING\r\n"), send("+PONG\r\n")],
        ),
        case("bytes that could become HTTP", vec![send("hello"), wait("world")], vec![wait("hello"), send("world")]),
        case("binary", vec![send(b"\0\x01\x02\xff"), wait(b"\xff\0")], vec![wait(b"\0\x01\x02\xff"), send(b"\xff\0")]),
        case(
            "a half-close of other traffic",
            vec![send("\0q"), Shut, wait("\0a"), End],
            vec![wait("\0q"), WaitEnd, send("\0a"), Close],
        ),
    ]
}
