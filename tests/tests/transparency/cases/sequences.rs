//! Several requests on a connection.

use Step::{Close, End, Meet, Reset};
use cheops_tests::lab::script::Step;

use super::{CHUNKED, CHUNKED_ANSWER, Case, EXPECTS, GET, OK, case, filler, send, sized, wait};

pub fn all() -> Vec<Case> {
    let mut cases = pipelines();
    cases.extend(one_by_one());
    cases.extend(last());
    cases
}

fn numbered(at: usize) -> String {
    format!("GET /{at} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn answer(at: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{at:03}")
}

fn post(at: usize) -> String {
    format!("{CHUNKED}2\r\n{at:02}\r\n0\r\n\r\n")
}

/// Each request to another host.
fn hosted(at: usize) -> String {
    format!("GET /{at} HTTP/1.1\r\nhost: h{at}.example:{}\r\n\r\n", 80 + at)
}

fn headed(at: usize) -> String {
    if at.is_multiple_of(3) { numbered(at) } else { numbered(at).replace("GET", "HEAD") }
}

/// The answer to [`headed`]: its length is there, its body only if it was asked for.
fn head_or_body(at: usize) -> String {
    if at.is_multiple_of(3) { answer(at) } else { answer(at)[..answer(at).len() - 3].to_owned() }
}

fn old(at: usize) -> String {
    format!("GET /{at} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
}

/// Old clients send an empty line behind a body.
fn behind_empty(at: usize) -> String {
    if at == 0 { post(at) } else { format!("\r\n{}", post(at)) }
}

fn joined(count: usize, of: impl Fn(usize) -> String) -> String {
    (0..count).map(of).collect()
}

/// The service's side: one request, one answer.
fn in_turn(count: usize, request: impl Fn(usize) -> String, answer: impl Fn(usize) -> String) -> Vec<Step> {
    (0..count).flat_map(|at| [wait(request(at)), send(answer(at))]).collect()
}

fn pipelines() -> Vec<Case> {
    let mixed = |at: usize| if at.is_multiple_of(2) { numbered(at) } else { post(at) };
    let chunked = |at: usize| format!("{CHUNKED_ANSWER}2\r\n{at:02}\r\n0\r\n\r\n");
    let large = String::from_utf8(sized("HTTP/1.1 200 OK\r\n", &filler(50_000))).unwrap_or_default();
    let slow =
        (0..100).flat_map(|at| [wait(numbered(at)), Step::Rest(std::time::Duration::from_millis(2)), send(answer(at))]);
    vec![
        case(
            "a pipeline of 100",
            vec![send(joined(100, numbered)), wait(joined(100, answer))],
            in_turn(100, numbered, answer),
        ),
        case(
            "a pipeline of 100 with slow answers",
            vec![send(joined(100, numbered)), wait(joined(100, answer))],
            slow.collect(),
        ),
        case(
            "a pipeline of 100 in 100 writes",
            [(0..100).map(|at| send(numbered(at))).collect(), vec![wait(joined(100, answer))]].concat(),
            in_turn(100, numbered, answer),
        ),
        case("a pipeline of bodies", vec![send(joined(20, post)), wait(joined(20, answer))], in_turn(20, post, answer)),
        case(
            "a pipeline of chunked answers",
            vec![send(joined(20, mixed)), wait(joined(20, chunked))],
            in_turn(20, mixed, chunked),
        ),
        case(
            "a pipeline of large answers",
            vec![send(joined(10, numbered)), wait(large.repeat(10))],
            in_turn(10, numbered, |_| large.clone()),
        ),
        case(
            "a pipeline whose requests are cut anywhere",
            [joined(20, mixed).as_bytes().chunks(37).map(send).collect(), vec![wait(joined(20, answer))]].concat(),
            in_turn(20, mixed, answer),
        ),
        case(
            "a pipeline to several hosts",
            vec![send(joined(10, hosted)), wait(joined(10, answer))],
            in_turn(10, hosted, answer),
        ),
        case(
            "a pipeline of HEAD and GET",
            vec![send(joined(20, headed)), wait(joined(20, head_or_body))],
            in_turn(20, headed, head_or_body),
        ),
        case(
            "a pipeline with empty lines behind bodies",
            vec![send(joined(5, behind_empty)), wait(joined(5, answer))],
            in_turn(5, behind_empty, answer),
        ),
        case("a pipeline of HTTP/1.0", vec![send(joined(5, old)), wait(joined(5, answer))], in_turn(5, old, answer)),
        case(
            "a pipeline whose last request ends it",
            vec![
                send(format!("{GET}{GET}GET / HTTP/1.0\r\n\r\n")),
                wait(format!("{OK}{OK}HTTP/1.0 200 OK\r\n\r\nold")),
                End,
            ],
            vec![
                wait(GET),
                send(OK),
                wait(GET),
                send(OK),
                wait("GET / HTTP/1.0\r\n\r\n"),
                send("HTTP/1.0 200 OK\r\n\r\nold"),
                Close,
            ],
        ),
        case(
            "a pipeline with an upgrade at its end",
            vec![
                send(format!("{GET}{}", super::UPGRADES)),
                wait(format!("{OK}{}", super::SWITCHING)),
                send("a"),
                wait("b"),
            ],
            vec![wait(GET), send(OK), wait(super::UPGRADES), send(super::SWITCHING), wait("a"), send("b")],
        ),
    ]
}

fn one_by_one() -> Vec<Case> {
    vec![
        case(
            "one request after another",
            vec![send(GET), wait(OK), send(EXPECTS), send("12345"), wait(OK), send(GET), wait(OK)],
            vec![wait(GET), send(OK), wait(EXPECTS), wait("12345"), send(OK), wait(GET), send(OK)],
        ),
        case(
            "a hundred requests, one after another",
            (0..100).flat_map(|at| [send(numbered(at)), wait(answer(at))]).collect(),
            in_turn(100, numbered, answer),
        ),
        case(
            "one host after another",
            (0..5).flat_map(|at| [send(hosted(at)), wait(answer(at))]).collect(),
            in_turn(5, hosted, answer),
        ),
        case(
            "empty lines between requests",
            vec![send(GET), wait(OK), send("\r\n"), Meet, send(GET), wait(OK)],
            vec![wait(GET), send(OK), Meet, wait(format!("\r\n{GET}")), send(OK)],
        ),
        case(
            "a request comes in two parts after another",
            vec![send(format!("{GET}GET /b HTT")), wait(OK), send("P/1.1\r\nHost: x\r\n\r\n"), wait(OK)],
            vec![wait(GET), send(OK), wait("GET /b HTTP/1.1\r\nHost: x\r\n\r\n"), send(OK)],
        ),
        case(
            "a rest between two requests",
            vec![send(GET), wait(OK), Step::Rest(std::time::Duration::from_millis(1100)), send(GET), wait(OK)],
            vec![wait(GET), send(OK), wait(GET), send(OK)],
        ),
    ]
}

/// One end says that this is the last exchange.
fn last() -> Vec<Case> {
    const LAST: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const NO_MORE: &str = "HTTP/1.1 200 OK\r\nconnection: Close\r\nContent-Length: 0\r\n\r\n";
    vec![
        case(
            "the client says that it is its last request",
            vec![send(LAST), wait(OK), End],
            vec![wait(LAST), send(OK), Close],
        ),
        case(
            "the service says that it is its last answer",
            vec![send(GET), wait(NO_MORE), End],
            vec![wait(GET), send(NO_MORE), Close],
        ),
        case(
            "the service says so and doesn't close",
            vec![send(GET), wait(NO_MORE), Meet, Close],
            vec![wait(GET), send(NO_MORE), Meet, End],
        ),
        case(
            "the client says so, and the service doesn't close",
            vec![send(LAST), wait(OK), Meet, Close],
            vec![wait(LAST), send(OK), Meet, End],
        ),
        case(
            "the service closes late after a last answer",
            vec![send(GET), wait(NO_MORE), End],
            vec![wait(GET), send(NO_MORE), Step::Rest(std::time::Duration::from_millis(300)), Close],
        ),
        case(
            "the client resets after its last answer, and the service doesn't close",
            vec![send(LAST), wait(OK), Meet, Reset],
            vec![wait(LAST), send(OK), Meet, End],
        ),
        case(
            "the client resets after the service's last answer",
            vec![send(GET), wait(NO_MORE), Meet, Reset],
            vec![wait(GET), send(NO_MORE), Meet, End],
        ),
        case(
            "the client ends its side after the last answer",
            vec![send(LAST), wait(OK), Step::Shut, End],
            vec![wait(LAST), send(OK), Step::WaitEnd, Close],
        ),
    ]
}
