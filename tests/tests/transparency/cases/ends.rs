//! How connections end: either end, at every stage, in order or by a reset.

use Step::{Close, End, Meet, Reset, Shut, WaitEnd};
use cheops_tests::lab::script::Step;

use super::{
    CHUNKED, CHUNKED_ANSWER, CONNECTED, CONNECTS, CONTINUE, Case, EXPECTS, GET, OK, PUT, case, chunk, filler, send,
    wait,
};

pub fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = stages().iter().chain(&inside_large()).flat_map(at).collect();
    cases.extend(halves());
    cases.extend(refusals());
    cases
}

/// A point at which a connection may end, and how both ends come to it.
struct Stage {
    name: &'static str,
    client: Vec<Step>,
    service: Vec<Step>,
}

fn stages() -> Vec<Stage> {
    let stage = |name, client, service| Stage { name, client, service };
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let closed = "HTTP/1.0 200 OK\r\n\r\nhalf";
    let chunk = format!("{CHUNKED_ANSWER}4\r\nha");
    let with_answer = |name, answer: &str| stage(name, vec![send(GET), wait(answer)], vec![wait(GET), send(answer)]);
    vec![
        stage("before a byte", vec![], vec![]),
        stage("inside the request's body", vec![send(PUT), send("12")], vec![wait(PUT), wait("12")]),
        stage(
            "inside a chunk of the request",
            vec![send(CHUNKED), send("4\r\nab")],
            vec![wait(CHUNKED), wait("4\r\nab")],
        ),
        stage(
            "after a chunk of the request",
            vec![send(CHUNKED), send("1\r\na\r\n")],
            vec![wait(CHUNKED), wait("1\r\na\r\n")],
        ),
        stage("while the answer is awaited", vec![send(GET)], vec![wait(GET)]),
        stage("after an interim answer", vec![send(GET), wait(CONTINUE)], vec![wait(GET), send(CONTINUE)]),
        with_answer("inside an answer of a known length", sized),
        with_answer("inside an answer until the close", closed),
        with_answer("inside a chunk of the answer", &chunk),
        with_answer("before the last chunk of the answer", &format!("{CHUNKED_ANSWER}1\r\na\r\n")),
        with_answer("inside the answer's trailers", &format!("{CHUNKED_ANSWER}0\r\nA: b\r\n")),
        with_answer("between two requests", OK),
        stage("inside other traffic", vec![send("\0a"), wait("\0b")], vec![wait("\0a"), send("\0b")]),
        stage("after what isn't HTTP was said first", vec![wait("220 x\r\n")], vec![send("220 x\r\n")]),
    ]
}

/// Points inside what is so large that it goes on uncopied.
fn inside_large() -> Vec<Stage> {
    let stage = |name, client, service| Stage { name, client, service };
    let half = filler(2 << 20);
    let up = [b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n", half.as_slice()].concat();
    let whole_chunk = [CHUNKED.as_bytes(), &chunk(&half)].concat();
    let answer = |head: &str| [head.as_bytes(), half.as_slice()].concat();
    let down = answer("HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n");
    let in_chunk = answer(&format!("{CHUNKED_ANSWER}800000\r\n"));
    let closed = answer("HTTP/1.1 200 OK\r\n\r\n");
    let with_answer = |name, answer: &[u8]| stage(name, vec![send(GET), wait(answer)], vec![wait(GET), send(answer)]);
    vec![
        stage("inside a large body", vec![send(&up)], vec![wait(&up)]),
        stage("after a large chunk of the request", vec![send(&whole_chunk)], vec![wait(&whole_chunk)]),
        with_answer("inside a large answer", &down),
        with_answer("inside a large chunk of the answer", &in_chunk),
        with_answer("inside a large answer until the close", &closed),
        stage(
            "inside a tunnel that carried much",
            vec![send(CONNECTS), wait(CONNECTED), send(&half), wait(&half)],
            vec![wait(CONNECTS), send(CONNECTED), wait(&half), send(&half)],
        ),
    ]
}

/// Each end, in each way.
fn at(stage: &Stage) -> Vec<Case> {
    let ways: [(&str, &[Step]); 3] =
        [("closes", &[Meet, Close]), ("ends its side", &[Meet, Shut, End]), ("resets", &[Meet, Reset])];
    let other = [Meet, End];
    let both = |(how, steps): (&str, &[Step])| {
        [
            case(
                format!("the client {how} {}", stage.name),
                [stage.client.as_slice(), steps].concat(),
                [stage.service.as_slice(), &other].concat(),
            ),
            case(
                format!("the service {how} {}", stage.name),
                [stage.client.as_slice(), &other].concat(),
                [stage.service.as_slice(), steps].concat(),
            ),
        ]
    };
    ways.into_iter().flat_map(both).collect()
}

/// One side is closed, and the other goes on.
fn halves() -> Vec<Case> {
    let open = "HTTP/1.1 200 OK\r\n\r\nto the end";
    vec![
        case(
            "the client ends its side after its request",
            vec![send(GET), Shut, wait(OK), End],
            vec![wait(GET), WaitEnd, send(OK), Close],
        ),
        case(
            "the client ends its side after a request with a body",
            vec![send(PUT), send("12345"), Shut, wait(OK), End],
            vec![wait(PUT), wait("12345"), WaitEnd, send(OK), Close],
        ),
        case(
            "the client ends its side after a pipeline",
            vec![send(format!("{GET}{GET}")), Shut, wait(OK), wait(OK), End],
            vec![wait(GET), send(OK), wait(GET), WaitEnd, send(OK), Close],
        ),
        case(
            "the client ends its side, and the answer has no length",
            vec![send(GET), Shut, wait(open), End],
            vec![wait(GET), WaitEnd, send(open), Close],
        ),
        case(
            "the client ends its side, and the answer comes in pieces",
            vec![send(GET), Shut, wait(CHUNKED_ANSWER), Meet, wait("1\r\na\r\n"), Meet, wait("0\r\n\r\n"), End],
            vec![wait(GET), WaitEnd, send(CHUNKED_ANSWER), Meet, send("1\r\na\r\n"), Meet, send("0\r\n\r\n"), Close],
        ),
        case(
            "the client ends its side inside its body, and is answered",
            vec![send(PUT), send("12"), Shut, wait(OK), End],
            vec![wait(PUT), wait("12"), WaitEnd, send(OK), Close],
        ),
        case(
            "the client ends its side instead of the body that it announced, and is answered",
            vec![send(EXPECTS), Shut, wait(OK), End],
            vec![wait(EXPECTS), WaitEnd, send(OK), Close],
        ),
        case(
            "the client ends its side inside the body that was asked for, and is answered",
            vec![send(EXPECTS), wait(CONTINUE), send("12"), Shut, wait(OK), End],
            vec![wait(EXPECTS), send(CONTINUE), wait("12"), WaitEnd, send(OK), Close],
        ),
        case(
            "the client sends all it has to say, and resets",
            vec![send(PUT), send("12345"), Meet, Reset],
            vec![wait(PUT), wait("12345"), Meet, End],
        ),
        case(
            "the client ends its side between requests, and the service closes later",
            vec![send(GET), wait(OK), Shut, End],
            vec![wait(GET), send(OK), WaitEnd, Close],
        ),
        case(
            "the service ends its side after an answer, and reads on",
            vec![send(GET), wait(OK), WaitEnd, Meet, Close],
            vec![wait(GET), send(OK), Shut, Meet, End],
        ),
        case(
            "a half-close of other traffic",
            vec![send("\0q"), Shut, wait("\0a"), End],
            vec![wait("\0q"), WaitEnd, send("\0a"), Close],
        ),
        case(
            "a half-close of the service in other traffic",
            vec![send("\0q"), WaitEnd, send("more"), Meet, Close],
            vec![wait("\0q"), Shut, wait("more"), Meet, End],
        ),
        case(
            "a half-close without a byte, answered",
            vec![Shut, wait("late"), End],
            vec![WaitEnd, send("late"), Close],
        ),
    ]
}

/// The service ends of its own accord.
fn refusals() -> Vec<Case> {
    let late = "HTTP/1.1 408 Late\r\nConnection: close\r\n\r\n";
    vec![
        case(
            "the service gives up waiting with a 408",
            vec![send(GET), wait(OK), Meet, wait(late), End],
            vec![wait(GET), send(OK), Meet, send(late), Close],
        ),
        case("a silent client gets an unasked 408", vec![Meet, wait(late), End], vec![Meet, send(late), Close]),
        case("a silent client gets an unasked 503 at once", vec![wait(OK), End], vec![send(OK), Close]),
        case(
            "the service answers and resets at once",
            vec![send(GET), wait(OK), End],
            vec![wait(GET), send(OK), Step::Reset],
        ),
        case(
            "the service answers whom it doesn't read, and resets",
            vec![send(PUT), send("12345"), wait(OK), Meet, End],
            vec![wait(PUT), send(OK), Meet, Step::Reset],
        ),
        case(
            "the service closes with unread bytes of the request",
            vec![send(PUT), send("12345"), Meet, End],
            vec![wait(PUT), Meet, Step::Rest(std::time::Duration::from_millis(50)), Close],
        ),
        case(
            "the service answers and closes with unread bytes",
            vec![send(GET), send(GET), wait(OK), Meet, End],
            vec![wait(GET), send(OK), Meet, Step::Rest(std::time::Duration::from_millis(50)), Close],
        ),
    ]
}
