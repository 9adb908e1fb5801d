use super::cases::{ANSWERS, Case, Expected, REQUESTS};
use super::*;
use crate::http::Body;

/// Reads `bytes` as the data path does: the head's end, the head, the body as far as it came.
fn read(bytes: &[u8], parse: impl Fn(Bytes) -> Result<BodyLength, FramingError>) -> Result<(), FramingError> {
    let end = HeadEnd::default().find(bytes, 4096)?.ok_or(FramingError::Malformed("the head is not whole"))?;
    Body::new(parse(Bytes::copy_from_slice(&bytes[..end]))?).scan(&bytes[end..])?;
    Ok(())
}

fn check(cases: &[Case], read: impl Fn(&[u8]) -> Result<(), Problem>) {
    for (section, bytes, expected) in cases {
        let seen = match read(bytes) {
            Ok(()) => Expected::Forward,
            Err(problem) => Expected::Refuse(problem.code.status()),
        };
        assert_eq!(seen, *expected, "RFC {section}: {}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn requests_are_let_through_or_refused_as_the_table_says() {
    assert!(REQUESTS.len() >= 90, "{}", REQUESTS.len());
    check(REQUESTS, |bytes| {
        read(bytes, |raw| RequestHead::parse(raw, 100).map(|head| head.length())).map_err(FramingError::of_request)
    });
}

#[test]
fn answers_are_let_through_or_refused_as_the_table_says() {
    check(ANSWERS, |bytes| {
        let parse = |raw: Bytes| {
            let head = AnswerHead::parse(raw, 100, "GET")?;
            match head.status() {
                101 => Err(FramingError::Malformed("not asked for")),
                _ => Ok(head.length()),
            }
        };
        read(bytes, parse).map_err(FramingError::of_answer)
    });
}

#[test]
fn answers_without_a_body_have_none_whatever_they_say() {
    for (status, method) in [(200, "HEAD"), (204, "GET"), (304, "GET"), (101, "GET"), (100, "GET"), (200, "CONNECT")] {
        let raw = format!("HTTP/1.1 {status} X\r\nContent-Length: 9\r\n\r\n");
        let head = AnswerHead::parse(raw.into(), 10, method).expect("well-formed");
        assert_eq!(head.length(), BodyLength::None, "{status} to {method}");
    }
}

#[test]
fn a_head_is_found_wherever_it_is_cut_and_looked_at_once() {
    let bytes = b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nrest";
    for cut in 0..bytes.len() {
        let mut end = HeadEnd::default();
        let first = end.find(&bytes[..cut], 100).expect("well-formed so far");
        let found = first.or_else(|| end.find(bytes, 100).expect("well-formed"));
        assert_eq!(found, Some(bytes.len() - 4), "cut at {cut}");
        assert!(end.seen >= cut.min(bytes.len() - 4), "nothing is looked at twice");
    }
}

#[test]
fn bytes_and_fields_are_limited() {
    assert_eq!(HeadEnd::default().find(&[b'a'; 100], 100), Err(FramingError::TooLong));
    assert_eq!(HeadEnd::default().find(&[b'a'; 99], 100), Ok(None));
    for (fields, allowed, fits) in [(64, 64, true), (65, 64, false), (256, 256, true), (257, 256, false), (3, 2, false)]
    {
        let raw = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(fields - 1));
        let read = RequestHead::parse(raw.into(), allowed);
        assert_eq!(read.is_ok(), fits, "{fields} of {allowed}");
        if let Err(error) = read {
            assert_eq!(error, FramingError::TooManyFields);
        }
    }
}
