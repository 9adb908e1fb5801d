//! What isn't HTTP/1.

use Step::{Close, End, Meet};
use cheops_tests::lab::script::Step;

use super::{Case, GET, OK, case, filler, send, wait};

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = protocols()
        .into_iter()
        .map(|(name, asks, says)| {
            case(
                format!("passed on: {name}"),
                vec![send(asks), wait(says), Meet, Close],
                vec![wait(asks), send(says), Meet, End],
            )
        })
        .collect();
    cases.extend(first());
    cases.extend(vec![
        case(
            "HTTP/2 in several parts",
            vec![
                send(PREFACE.get(..18).unwrap_or_default()),
                send(PREFACE.get(18..).unwrap_or_default()),
                send("\0\0\0\x04"),
                wait("\0\0\0\x04"),
            ],
            vec![wait(format!("{PREFACE}\0\0\0\x04")), send("\0\0\0\x04")],
        ),
        case(
            "large other traffic both ways",
            vec![send(b"\0"), send(filler(500_000)), wait(filler(500_000))],
            vec![wait(b"\0"), wait(filler(500_000)), send(filler(500_000))],
        ),
        case(
            "HTTP inside what isn't HTTP",
            vec![send("\0"), wait("\0"), send(GET), wait(OK), send("GET / HTTP/9.9\n\n"), wait("x")],
            vec![wait("\0"), send("\0"), wait(GET), send(OK), wait("GET / HTTP/9.9\n\n"), send("x")],
        ),
    ]);
    cases
}

/// A protocol's name, its client's first bytes, the answer.
fn protocols() -> Vec<(&'static str, &'static [u8], &'static [u8])> {
    vec![
        ("TLS", b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x03\x00\x00"),
        ("a TLS record alone", b"\x16\x03", b"\x15\x03\x03\x00\x02\x02\x28"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", b"\0\0\0\x04\0\0\0\0\0"),
        ("Redis", b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
        ("inline commands", b"PING\r\n", b"+PONG\r\n"),
        ("bytes that could become HTTP", b"hello", b"world"),
        ("a word and a space", b"stats items\r\n", b"END\r\n"),
        ("a method and nothing else", b"GETX", b"?"),
        ("binary", b"\0\x01\x02\xff", b"\xff\0"),
        ("one byte", b"\x80", b"\x80"),
        ("a PROXY header of version 2", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", b"x"),
        ("Postgres", b"\0\0\0\x08\x04\xd2\x16\x2f", b"N"),
        ("AMQP", b"AMQP\0\0\x09\x01", b"AMQP\0\0\x09\x01"),
        ("MQTT", b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04abcd", b"\x20\x02\0\0"),
        ("Kafka", b"\0\0\0\x0e\0\x12\0\0\0\0\0\x01\0\x04test", b"\0\0\0\x04"),
        ("etcd's or Thrift's frames", b"\x80\x01\0\x01\0\0\0\x04ping", b"\0\0\0\0"),
        ("SSH, both at once", b"SSH-2.0-a\r\n", b"SSH-2.0-b\r\n"),
        ("SIP", b"REGISTER sip:a SIP/2.0\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n"),
        ("a tracker's handshake", b"\x13BitTorrent protocol", b"\x13BitTorrent protocol"),
        ("blank lines and then binary", b"\r\n\r\n\0", b"\0"),
        ("spaces first", b"  GET / HTTP", b"?"),
    ]
}

fn first() -> Vec<Case> {
    let greets = |name: &str, greeting: &[u8]| {
        case(
            format!("the service speaks first: {name}"),
            vec![wait(greeting), send("QUIT\r\n"), wait("221 bye\r\n"), End],
            vec![send(greeting), wait("QUIT\r\n"), send("221 bye\r\n"), Close],
        )
    };
    vec![
        greets("SMTP", b"220 ready\r\n"),
        greets("SSH", b"SSH-2.0-x\r\n"),
        greets("MySQL", b"\x4a\0\0\0\x0a5.5.5\0"),
        greets("VNC", b"RFB 003.008\n"),
        greets("what begins as HTTP does", b"HTTP is not spoken here\r\n"),
        case(
            "the service speaks first, and the client speaks HTTP",
            vec![wait("220 ready\r\n"), send(GET), wait(OK)],
            vec![send("220 ready\r\n"), wait(GET), send(OK)],
        ),
        case("nobody ever speaks", vec![Meet, Close], vec![Meet, End]),
        case("a port check", vec![Close], vec![End]),
        case("the service closes at once", vec![End], vec![Close]),
    ]
}
