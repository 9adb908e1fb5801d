//! Streams: what one end sends alone reaches the other before the next is sent.

use Step::{Close, End, Meet};
use cheops_tests::lab::script::Step;

use super::{CHUNKED, CHUNKED_ANSWER, Case, EXPECTS, GET, OK, SWITCHING, UPGRADES, case, send, wait};

pub fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = answers().into_iter().map(|(name, pieces)| down(name, &pieces)).collect();
    cases.extend(requests().into_iter().map(|(name, pieces)| up(name, &pieces)));
    cases.extend(both_ways());
    cases
}

/// One end's steps and the other's, piece by piece.
fn in_step<'a>(pieces: impl IntoIterator<Item = &'a &'a str>) -> (Vec<Step>, Vec<Step>) {
    let pieces: Vec<&&str> = pieces.into_iter().collect();
    (
        pieces.iter().flat_map(|piece| [send(piece), Meet]).collect(),
        pieces.iter().flat_map(|piece| [wait(piece), Meet]).collect(),
    )
}

fn down(name: &str, pieces: &[&str]) -> Case {
    let (service, client) = in_step(pieces);
    case(
        format!("an answer in pieces: {name}"),
        [vec![send(GET)], client, vec![End]].concat(),
        [vec![wait(GET)], service, vec![Close]].concat(),
    )
}

fn up(name: &str, pieces: &[&str]) -> Case {
    let (client, service) = in_step(pieces);
    case(
        format!("a request in pieces: {name}"),
        [client, vec![wait(OK), End]].concat(),
        [service, vec![send(OK), Close]].concat(),
    )
}

fn answers() -> Vec<(&'static str, Vec<&'static str>)> {
    const SIZED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    vec![
        ("chunk by chunk", vec![CHUNKED_ANSWER, "1\r\na\r\n", "1\r\nb\r\n", "0\r\n\r\n"]),
        ("parts of chunks", vec![CHUNKED_ANSWER, "4\r\na", "b", "cd\r\n", "2\r\n", "ef", "\r\n", "0\r\n\r\n"]),
        ("several chunks at once", vec![CHUNKED_ANSWER, "1\r\na\r\n1\r\nb\r\n", "1\r\nc\r\n0\r\n\r\n"]),
        ("chunk lines and what ends them", vec![CHUNKED_ANSWER, "1\r\n", "a", "\r\n", "0\r\n", "\r\n"]),
        ("trailers one by one", vec![CHUNKED_ANSWER, "1\r\na\r\n", "0\r\n", "A: b\r\n", "C: d\r\n", "\r\n"]),
        ("the head alone, then a body of a known length", vec![SIZED, "a", "bc", "d"]),
        ("the head with the body's beginning", vec!["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na", "bcd"]),
        ("the head alone, then until the close", vec!["HTTP/1.1 200 OK\r\n\r\n", "a", "b"]),
        (
            "events",
            vec![
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
                "d\r\ndata: hello\n\n\r\n",
                "3\r\n:\n\n\r\n",
                "d\r\ndata: again\n\n\r\n",
                "0\r\n\r\n",
            ],
        ),
        (
            "a watch of JSON lines",
            vec![
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
                "11\r\n{\"type\":\"ADDED\"}\n\r\n",
                "14\r\n{\"type\":\"MODIFIED\"}\n\r\n",
                "0\r\n\r\n",
            ],
        ),
    ]
}

fn requests() -> Vec<(&'static str, Vec<&'static str>)> {
    const SIZED: &str = "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n";
    vec![
        ("chunk by chunk", vec![CHUNKED, "1\r\na\r\n", "1\r\nb\r\n", "0\r\n\r\n"]),
        ("parts of chunks", vec![CHUNKED, "4\r\na", "b", "cd\r\n", "2\r\n", "ef", "\r\n", "0\r\n\r\n"]),
        ("chunk lines and what ends them", vec![CHUNKED, "1;e\r\n", "a", "\r\n", "0\r\n", "\r\n"]),
        ("trailers one by one", vec![CHUNKED, "1\r\na\r\n", "0\r\n", "A: b\r\n", "C: d\r\n", "\r\n"]),
        ("the head alone, then a body of a known length", vec![SIZED, "a", "bc", "d"]),
        ("the head with the body's beginning", vec!["PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\na", "bcd"]),
        ("a body that is expected", vec![EXPECTS, "1", "2345"]),
    ]
}

/// The ends speak in turn.
fn both_ways() -> Vec<Case> {
    let talk = |name: &str, lines: &[(&str, &str)]| {
        let turns = |end: usize| {
            lines.iter().flat_map(
                move |(up, down)| {
                    if end == 0 { [send(up), wait(down)] } else { [wait(up), send(down)] }
                },
            )
        };
        case(name, turns(0).collect(), turns(1).collect())
    };
    vec![
        talk(
            "chunks in turn",
            &[
                (CHUNKED, CHUNKED_ANSWER),
                ("1\r\na\r\n", "1\r\nA\r\n"),
                ("1\r\nb\r\n", "1\r\nB\r\n"),
                ("0\r\n\r\n", "0\r\n\r\n"),
            ],
        ),
        talk(
            "the answer ends first, chunk by chunk",
            &[(CHUNKED, CHUNKED_ANSWER), ("1\r\na\r\n", "0\r\n\r\n"), ("0\r\n\r\n", ""), (GET, OK)],
        ),
        talk(
            "the request ends first, chunk by chunk",
            &[(CHUNKED, CHUNKED_ANSWER), ("0\r\n\r\n", "1\r\na\r\n"), ("", "0\r\n\r\n"), (GET, OK)],
        ),
        talk("a tunnel in turn", &[(UPGRADES, SWITCHING), ("a", "b"), ("\0", "\n"), ("c\r\n", "d\r\n")]),
        talk("other traffic in turn", &[("\0a", "b"), ("c", "d"), (GET, OK), ("e", "f")]),
        talk(
            "writes of nothing",
            &[("", ""), (CHUNKED, CHUNKED_ANSWER), ("", ""), ("0\r\n\r\n", "0\r\n\r\n"), ("", "")],
        ),
    ]
}
