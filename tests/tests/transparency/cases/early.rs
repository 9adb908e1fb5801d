//! Answers that come before their request is whole.

use Step::{Close, End, Meet, Shut, WaitEnd};
use cheops_tests::lab::script::Step;

use super::{CHUNKED, CHUNKED_ANSWER, Case, GET, OK, PUT, case, filler, send, sized, wait};

const LAST: &str = "HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const OLD: &str = "HTTP/1.0 200 OK\r\n\r\n";

pub fn all() -> Vec<Case> {
    let mut cases = kept();
    cases.extend(ended());
    cases
}

/// The connection goes on.
fn kept() -> Vec<Case> {
    let body = filler(300_000);
    let (first, second) = body.split_at(150_000);
    let head = format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    let long = sized("HTTP/1.1 200 OK\r\n", &body);
    vec![
        case(
            "an answer before the body",
            vec![send(PUT), wait(OK), send("12345"), send(GET), wait(OK)],
            vec![wait(PUT), send(OK), wait("12345"), wait(GET), send(OK)],
        ),
        case(
            "an answer inside the body",
            vec![send(PUT), send("12"), wait(OK), send("345"), send(GET), wait(OK)],
            vec![wait(PUT), wait("12"), send(OK), wait("345"), wait(GET), send(OK)],
        ),
        case(
            "an answer inside a chunk",
            vec![send(CHUNKED), send("5\r\nab"), wait(OK), send("cde\r\n0\r\n\r\n"), send(GET), wait(OK)],
            vec![wait(CHUNKED), wait("5\r\nab"), send(OK), wait("cde\r\n0\r\n\r\n"), wait(GET), send(OK)],
        ),
        case(
            "an answer before the trailers",
            vec![send(CHUNKED), send("0\r\n"), wait(OK), send("A: b\r\n\r\n"), send(GET), wait(OK)],
            vec![wait(CHUNKED), wait("0\r\n"), send(OK), wait("A: b\r\n\r\n"), wait(GET), send(OK)],
        ),
        case(
            "an answer's head before the body, and its end after it",
            vec![send(PUT), wait(CHUNKED_ANSWER), send("12345"), Meet, wait("0\r\n\r\n"), send(GET), wait(OK)],
            vec![wait(PUT), send(CHUNKED_ANSWER), wait("12345"), Meet, send("0\r\n\r\n"), wait(GET), send(OK)],
        ),
        case(
            "a long answer between two halves of a long body",
            vec![send(&head), send(first), wait(&long), send(second), send(GET), wait(OK)],
            vec![wait(&head), wait(first), send(&long), wait(second), wait(GET), send(OK)],
        ),
        case(
            "a long answer while a long body comes",
            vec![
                send(&head),
                wait(OK.get(..20).unwrap_or_default()),
                send(&body),
                wait(OK.get(20..).unwrap_or_default()),
            ],
            vec![wait(&head), send(OK), wait(&body)],
        ),
        case(
            "the next request right behind a body that was answered early",
            vec![send(PUT), wait(OK), send(format!("12345{GET}")), wait(OK)],
            vec![wait(PUT), send(OK), wait("12345"), wait(GET), send(OK)],
        ),
        case(
            "a refusal that isn't the last answer",
            vec![send(PUT), wait(OK.replace("200 OK", "401 Who")), send("12345"), send(GET), wait(OK)],
            vec![wait(PUT), send(OK.replace("200 OK", "401 Who")), wait("12345"), wait(GET), send(OK)],
        ),
    ]
}

/// The answer is the last.
fn ended() -> Vec<Case> {
    let whole = |name: &str, answer: &str| {
        case(
            format!("{name}, and the service reads the rest"),
            vec![send(PUT), send("12"), wait(answer), WaitEnd, send("345"), Meet, Close],
            vec![wait(PUT), wait("12"), send(answer), Shut, wait("345"), Meet, End],
        )
    };
    let gone = |name: &str, answer: &str| {
        case(
            format!("{name}, and the service is gone"),
            vec![send(PUT), send("12"), wait(answer), End],
            vec![wait(PUT), wait("12"), send(answer), Close],
        )
    };
    vec![
        gone("a last answer inside the body", LAST),
        gone("an answer until the close inside the body", &format!("{OLD}old")),
        whole("a last answer inside the body", LAST),
        whole("an answer until the close inside the body", &format!("{OLD}old")),
        case(
            "a last answer inside the body, and the client gives up",
            vec![send(PUT), send("12"), wait(LAST), Shut, End],
            vec![wait(PUT), wait("12"), send(LAST), WaitEnd, Close],
        ),
        case(
            "a last answer, and the rest of the body before the close",
            vec![send(PUT), wait(LAST), send("12345"), Meet, End],
            vec![wait(PUT), send(LAST), wait("12345"), Meet, Close],
        ),
        case(
            "a last answer before the last chunk",
            vec![send(CHUNKED), send("1\r\na\r\n"), wait(LAST), send("0\r\n\r\n"), Meet, End],
            vec![wait(CHUNKED), wait("1\r\na\r\n"), send(LAST), wait("0\r\n\r\n"), Meet, Close],
        ),
    ]
}
