//! What one message may be: its head, its chunks, its trailers, and how many come at once.

use anyhow::ensure;
use cheops_tests::lab::{End, Then};

use super::scene::{Case, GET, Scene, is_problem};

const HEAD: &str = "limits.head-bytes = '2KiB'";
const FIELDS: &str = "limits.headers = 16";

pub const CASES: &[Case] = &[
    Case {
        name: "a long target",
        limit: "head-bytes",
        keys: HEAD,
        play: |scene| refused(scene, &format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(2048)), HEAD_TOO_LARGE),
    },
    Case {
        name: "a long field",
        limit: "head-bytes",
        keys: HEAD,
        play: |scene| {
            refused(scene, &format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(2048)), HEAD_TOO_LARGE)
        },
    },
    Case {
        name: "a head without end",
        limit: "head-bytes",
        keys: HEAD,
        play: |scene| {
            refused(scene, &format!("GET / HTTP/1.1\r\nHost: x\r\n{}", "A: b\r\n".repeat(400)), HEAD_TOO_LARGE)
        },
    },
    Case {
        name: "empty lines without end",
        limit: "head-bytes",
        keys: HEAD,
        play: |scene| refused(scene, &"\r\n".repeat(1100), HEAD_TOO_LARGE),
    },
    Case {
        name: "an answer's long head",
        limit: "head-bytes",
        keys: HEAD,
        play: |scene| {
            let head = format!("HTTP/1.1 200 OK\r\nA: {}\r\nContent-Length: 0\r\n\r\n", "a".repeat(2048));
            answer_refused(scene, &head, "limits.head-bytes")
        },
    },
    Case {
        name: "many fields",
        limit: "headers",
        keys: FIELDS,
        play: |scene| {
            refused(scene, &fields(16), ("limits.headers", 431, "head-too-large"))?;
            ensure!(scene.client()?.exchange(fields(15))?.status == 200, "as many as allowed are served");
            Ok(())
        },
    },
    Case {
        name: "an answer's many fields",
        limit: "headers",
        keys: FIELDS,
        play: |scene| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n", "A: b\r\n".repeat(16));
            answer_refused(scene, &head, "limits.headers")
        },
    },
    Case {
        name: "a chunk's extension",
        limit: "chunk-extension-bytes",
        keys: EXTENSION,
        play: |scene| {
            refused(
                scene,
                &chunked(&extension(65)),
                ("limits.chunk-extension-bytes", 413, "chunk-extensions-too-large"),
            )?;
            ensure!(scene.client()?.exchange(chunked(&extension(64)))?.status == 200, "as much as allowed is served");
            Ok(())
        },
    },
    Case {
        name: "a late chunk's extension",
        limit: "chunk-extension-bytes",
        keys: EXTENSION,
        play: |scene| {
            let body = format!("{}{}", "5\r\nhello\r\n".repeat(100), extension(65));
            refused(scene, &chunked(&body), ("limits.chunk-extension-bytes", 413, "chunk-extensions-too-large"))
        },
    },
    Case {
        name: "no extension at all",
        limit: "chunk-extension-bytes",
        keys: "limits.chunk-extension-bytes = 0",
        play: |scene| {
            refused(scene, &chunked(&extension(1)), ("limits.chunk-extension-bytes", 413, "chunk-extensions-too-large"))
        },
    },
    Case {
        name: "an answer's extension",
        limit: "chunk-extension-bytes",
        keys: EXTENSION,
        play: |scene| answer_cut(scene, &format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(65))),
    },
    Case {
        name: "trailers",
        limit: "trailer-bytes",
        keys: TRAILERS,
        play: |scene| {
            refused(scene, &chunked(&trailer(128 - 4)), ("limits.trailer-bytes", 431, "trailers-too-large"))?;
            ensure!(
                scene.client()?.exchange(chunked(&trailer(128 - 5)))?.status == 200,
                "as much as allowed is served"
            );
            Ok(())
        },
    },
    Case {
        name: "many trailers",
        limit: "trailer-bytes",
        keys: TRAILERS,
        play: |scene| {
            let body = format!("0\r\n{}\r\n", "A: b\r\n".repeat(50));
            refused(scene, &chunked(&body), ("limits.trailer-bytes", 431, "trailers-too-large"))
        },
    },
    Case {
        name: "an answer's trailers",
        limit: "trailer-bytes",
        keys: TRAILERS,
        play: |scene| answer_cut(scene, &format!("0\r\nA: {}\r\n\r\n", "b".repeat(200))),
    },
    Case {
        name: "a thousand requests at once",
        limit: "pipelined-bytes",
        keys: "limits.pipelined-bytes = '4KiB'",
        play: pipeline,
    },
];

const EXTENSION: &str = "limits.chunk-extension-bytes = 64";
const TRAILERS: &str = "limits.trailer-bytes = 128";

type Said = (&'static str, u16, &'static str);

const HEAD_TOO_LARGE: Said = ("limits.head-bytes", 431, "head-too-large");

fn fields(count: usize) -> String {
    format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(count))
}

fn chunked(body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

/// A body of one byte whose chunk has an extension of so many bytes.
fn extension(bytes: usize) -> String {
    format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(bytes))
}

/// A body of one byte with a trailer whose value has so many bytes.
fn trailer(bytes: usize) -> String {
    format!("1\r\na\r\n0\r\nA: {}\r\n\r\n", "b".repeat(bytes))
}

/// The client is told, its connection ends in order, and the service never had the request whole.
fn refused(scene: &Scene, request: &str, (key, status, code): Said) -> anyhow::Result<()> {
    scene.service().take_requests();
    let mut client = scene.client()?;
    client.send(request)?;
    let answer = client.answer()?;
    is_problem(&answer, status, code, key)?;
    ensure!(answer.header("connection").as_deref() == Some("close"), "it does not say that it closes");
    ensure!(client.ends()? == End::Closed, "it does not end in order");
    let whole = scene.service().requests().iter().any(|request| request.complete);
    ensure!(!whole, "the service got a whole request");
    Ok(())
}

fn answer_refused(scene: &Scene, answer: &str, key: &str) -> anyhow::Result<()> {
    scene.service().script("/answer", answer, Then::Keep);
    let mut client = scene.client()?;
    let answer = client.exchange("GET /answer HTTP/1.1\r\nHost: x\r\n\r\n")?;
    is_problem(&answer, 502, "bad-answer", key)
}

/// Its head has reached the client already: only a reset tells that the rest is missing.
fn answer_cut(scene: &Scene, body: &str) -> anyhow::Result<()> {
    let (mut client, mut service) = scene.own_service(GET)?;
    service.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    client.read_until(b"\r\n\r\n")?;
    service.send(body)?;
    let end = client.read_to_end();
    ensure!(end.is_err(), "the client takes a cut answer for whole: {end:?}");
    Ok(())
}

/// More than is read ahead waits in the client's own socket; all are answered, in order.
fn pipeline(scene: &Scene) -> anyhow::Result<()> {
    let mut client = scene.client()?;
    let requests: String =
        (0..1000).map(|number| format!("GET /status/{} HTTP/1.1\r\nHost: x\r\n\r\n", 200 + number % 90)).collect();
    client.send(requests)?;
    for number in 0..1000 {
        let status = client.answer()?.status;
        ensure!(status == 200 + number % 90, "answer {number} has the status {status}");
    }
    Ok(())
}
