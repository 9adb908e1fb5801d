//! Interim answers, and bodies that are asked for.

use Step::{Close, End};
use cheops_tests::lab::script::Step;

use super::{CONTINUE, Case, EXPECTS, GET, OK, answered, case, send, twice, wait};

const PROCESSING: &str = "HTTP/1.1 102 Processing\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: </b>\r\n\r\n";

pub fn all() -> Vec<Case> {
    let mut cases = hints();
    cases.extend(wanted());
    cases.extend(refused());
    cases
}

fn hints() -> Vec<Case> {
    vec![
        answered("102 before the answer", GET, format!("{PROCESSING}{OK}")),
        answered("103 before the answer", GET, format!("{HINTS}{OK}")),
        answered("100 that nobody asked for", GET, format!("{CONTINUE}{OK}")),
        answered("an interim status that nobody knows", GET, format!("HTTP/1.1 199 Hm\r\nA: b\r\n\r\n{OK}")),
        answered("several interim answers", GET, format!("{CONTINUE}{PROCESSING}{HINTS}{HINTS}{CONTINUE}{OK}")),
        answered("a hundred interim answers", GET, format!("{}{OK}", CONTINUE.repeat(100))),
        case(
            "interim answers one by one",
            vec![send(GET), wait(PROCESSING), Step::Meet, wait(HINTS), Step::Meet, wait(OK), send(GET), wait(OK)],
            vec![wait(GET), send(PROCESSING), Step::Meet, send(HINTS), Step::Meet, send(OK), wait(GET), send(OK)],
        ),
        case(
            "an interim answer, and the answer until the close",
            vec![send(GET), wait(HINTS), wait("HTTP/1.0 200 OK\r\n\r\nold"), End],
            vec![wait(GET), send(HINTS), send("HTTP/1.0 200 OK\r\n\r\nold"), Close],
        ),
        answered(
            "an interim answer to HEAD",
            "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
            format!("{HINTS}HTTP/1.1 200 OK\r\n\r\n"),
        ),
    ]
}

fn wanted() -> Vec<Case> {
    const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nexpect: 100-Continue\r\n\r\n";
    vec![
        case(
            "100-continue, and the body is wanted",
            vec![send(EXPECTS), wait(CONTINUE), send("12345"), wait(OK)],
            vec![wait(EXPECTS), send(CONTINUE), wait("12345"), send(OK)],
        ),
        case(
            "100-continue in another case, and chunks are wanted",
            vec![send(CHUNKED), wait(CONTINUE), send("1\r\na\r\n0\r\n\r\n"), wait(OK)],
            vec![wait(CHUNKED), send(CONTINUE), wait("1\r\na\r\n0\r\n\r\n"), send(OK)],
        ),
        case(
            "100-continue, and other interim answers first",
            vec![send(EXPECTS), wait(PROCESSING), wait(CONTINUE), send("12345"), wait(OK)],
            vec![wait(EXPECTS), send(PROCESSING), send(CONTINUE), wait("12345"), send(OK)],
        ),
        case(
            "100-continue, and the client doesn't wait",
            vec![send(EXPECTS), send("12345"), wait(OK)],
            vec![wait(EXPECTS), wait("12345"), send(OK)],
        ),
        case(
            "100-continue twice on a connection",
            twice(&[send(EXPECTS), wait(CONTINUE), send("12345"), wait(OK)]),
            twice(&[wait(EXPECTS), send(CONTINUE), wait("12345"), send(OK)]),
        ),
        case(
            "100 after the body has begun",
            vec![send(EXPECTS), send("12"), wait(CONTINUE), send("345"), wait(OK)],
            vec![wait(EXPECTS), wait("12"), send(CONTINUE), wait("345"), send(OK)],
        ),
    ]
}

fn refused() -> Vec<Case> {
    let last = |status: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let ends = |status: &str| {
        case(
            format!("100-continue, and {status} ends the connection"),
            vec![send(EXPECTS), wait(last(status)), End],
            vec![wait(EXPECTS), send(last(status)), Close],
        )
    };
    let kept = |status: &str| {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno");
        case(
            format!("100-continue, {status}, and the body comes all the same"),
            vec![send(EXPECTS), wait(&answer), send("12345"), send(GET), wait(OK)],
            vec![wait(EXPECTS), send(&answer), wait("12345"), wait(GET), send(OK)],
        )
    };
    let mut cases: Vec<Case> = ["417 No", "401 Who", "413 Too much"].map(ends).into();
    cases.extend(["417 No", "401 Who"].map(kept));
    cases
}
