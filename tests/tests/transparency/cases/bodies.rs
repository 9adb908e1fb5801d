//! Bodies: their framing and every byte of them go on.

use Step::{Close, End};
use cheops_tests::lab::script::Step;

use super::{
    CHUNKED, CHUNKED_ANSWER, Case, GET, OK, answered, case, chunk, filler, send, sized, trickle, until_close, wait,
};

const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\n";
/// Around the buffers' sizes, a pipe's and a read's.
const SIZES: [usize; 14] =
    [1, 4095, 4096, 4097, 8192, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1];

pub fn all() -> Vec<Case> {
    let mut cases = lengths();
    cases.extend(chunks());
    cases.extend(without());
    cases.extend(large());
    cases.extend(SIZES.into_iter().flat_map(sizes));
    cases
}

fn lengths() -> Vec<Case> {
    vec![
        answered("a body of a known length", sized(POST, b"12345"), OK),
        answered("a GET with a body", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", OK),
        answered(
            "a DELETE with a chunked body",
            format!("{}1\r\na\r\n0\r\n\r\n", CHUNKED.replace("POST", "DELETE")),
            OK,
        ),
        answered("Content-Length: 0 both ways", sized(POST, b""), "HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n"),
        answered("a POST without any length", "POST / HTTP/1.1\r\nHost: x\r\n\r\n", OK),
        answered("a length with leading zeros in a request", format!("{POST}Content-Length: 002\r\n\r\nab"), OK),
        answered("a body that looks like a request", sized(POST, GET.as_bytes()), sized(ANSWER, OK.as_bytes())),
        answered("a body of all bytes", sized(POST, &all_bytes()), sized(ANSWER, &all_bytes())),
    ]
}

fn all_bytes() -> Vec<u8> {
    (0..=u8::MAX).collect()
}

fn chunks() -> Vec<Case> {
    let many: String = (0..2000).map(|at| format!("1\r\n{}\r\n", at % 10)).collect();
    let table: [(&str, &[u8]); 11] = [
        (
            "extensions and trailers",
            b"3;ext=\"q;\\\"\"\r\nabc\r\n01;e\r\nd\r\n0;end\r\nTrailer-A: 1\r\ntrailer-b:\r\n\r\n",
        ),
        ("several extensions at once", b"1;a;b=c;d=\"e f\"\r\na\r\n0;f=g\r\n\r\n"),
        ("an extension of odd characters", b"1;a=\"\t\xe9;,:\"\r\na\r\n0\r\n\r\n"),
        ("trailers twice and in odd order", b"1\r\na\r\n0\r\nb: 2\r\nA: 1\r\nB:  3 \r\nb: 2\r\n\r\n"),
        ("trailers without a body", b"0\r\nChecksum: d41d8\r\n\r\n"),
        ("sizes in either case", b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
        ("sizes with leading zeros", b"0001\r\na\r\n00000000\r\n\r\n"),
        ("a last chunk of several zeros", b"2\r\nab\r\n000\r\n\r\n"),
        ("no chunk but the last", b"0\r\n\r\n"),
        ("data that look like chunks", b"7\r\n0\r\n\r\n1\r\r\n0\r\n\r\n"),
        ("data that end with CR", b"2\r\n\r\r\r\n1\r\n\n\r\n0\r\n\r\n"),
    ];
    let mut cases = Vec::new();
    for (name, body) in table {
        let (request, answer) = ([CHUNKED.as_bytes(), body].concat(), [CHUNKED_ANSWER.as_bytes(), body].concat());
        cases.push(answered(format!("chunks of a request: {name}"), &request, OK));
        cases.push(answered(format!("chunks of an answer: {name}"), GET, &answer));
        cases.push(case(
            format!("chunks byte by byte, both ways: {name}"),
            vec![trickle(&request), wait(&answer)],
            vec![wait(&request), trickle(&answer)],
        ));
    }
    let long = format!("1;{}=\"{}\"\r\na\r\n0;{}\r\n", "n".repeat(2000), "v".repeat(2000), "e".repeat(4000));
    let trailers = format!("A: {}\r\nb: {}\r\nC:\r\n\r\n", "t".repeat(8000), "u".repeat(8000));
    cases.push(answered(
        "chunks with long extensions and long trailers",
        format!("{CHUNKED}{long}{trailers}"),
        format!("{CHUNKED_ANSWER}{long}{trailers}"),
    ));
    cases.push(case(
        "chunks with long extensions and long trailers, byte by byte",
        vec![trickle(format!("{CHUNKED}{long}\r\n")), wait(OK)],
        vec![wait(format!("{CHUNKED}{long}\r\n")), trickle(OK)],
    ));
    cases.push(answered(
        "many small chunks",
        format!("{CHUNKED}{many}0\r\n\r\n"),
        format!("{CHUNKED_ANSWER}{many}0\r\n\r\n"),
    ));
    cases
}

/// Answers that have no body, whatever their fields say.
fn without() -> Vec<Case> {
    const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
    let then_another = |name: &str, request: &str, answer: &str| {
        case(
            format!("{name}, and another request"),
            vec![send(request), wait(answer), send(GET), wait(OK)],
            vec![wait(request), send(answer), wait(GET), send(OK)],
        )
    };
    vec![
        then_another("the answer to HEAD", HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        then_another("the chunked answer to HEAD", HEAD, CHUNKED_ANSWER),
        then_another("an answer to HEAD without a length", HEAD, "HTTP/1.1 200 OK\r\n\r\n"),
        then_another("a 404 to HEAD", HEAD, "HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n"),
        then_another("204", GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        then_another("304", GET, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"),
        then_another(
            "304 with the length of what isn't sent",
            GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
        ),
        then_another("304 that says chunked", GET, "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
        until_close("a body until the close", GET, "HTTP/1.1 200 OK\r\n\r\nuntil close"),
        until_close("an empty body until the close", GET, "HTTP/1.1 200 OK\r\n\r\n"),
        until_close("gzip until the close", GET, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f..."),
        until_close(
            "a body until the close that looks like another answer",
            GET,
            format!("HTTP/1.1 200 OK\r\n\r\n{OK}{OK}"),
        ),
        until_close(
            "an answer to POST until the close",
            format!("{CHUNKED}0\r\n\r\n"),
            "HTTP/1.0 200 OK\r\n\r\nto the end",
        ),
    ]
}

fn large() -> Vec<Case> {
    let body = filler(8 << 20);
    let (up, down) = (sized(POST, &body), sized(ANSWER, &body));
    let chunks: Vec<u8> = body.chunks(100_000).flat_map(chunk).chain(*b"0\r\n\r\n").collect();
    vec![
        answered("8 MiB up", &up, OK),
        answered("8 MiB down", GET, &down),
        answered("8 MiB of chunks down", GET, [CHUNKED_ANSWER.as_bytes(), &chunks].concat()),
        answered("8 MiB of chunks up", [CHUNKED.as_bytes(), &chunks].concat(), OK),
    ]
}

/// A body of that size in each framing.
fn sizes(size: usize) -> Vec<Case> {
    let body = filler(size);
    let closed = [b"HTTP/1.0 200 OK\r\n\r\n", body.as_slice()].concat();
    let chunks = [chunk(&body), b"0\r\n\r\n".to_vec()].concat();
    let head = format!("{POST}Content-Length: {size}\r\n\r\n");
    vec![
        answered(format!("{size} bytes both ways"), sized(POST, &body), sized(ANSWER, &body)),
        answered(
            format!("{size} bytes in a chunk both ways"),
            [CHUNKED.as_bytes(), &chunks].concat(),
            [CHUNKED_ANSWER.as_bytes(), &chunks].concat(),
        ),
        case(
            format!("{size} bytes until the close, behind a head that went alone"),
            vec![send(&head), Step::Meet, send(&body), wait(&closed), End],
            vec![wait(&head), Step::Meet, wait(&body), send(&closed), Close],
        ),
    ]
}
