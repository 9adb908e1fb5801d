use proptest::prelude::*;

use super::cases::{Case, Expected, answers, requests};
use super::*;
use crate::http::Body;
use crate::http::Problem;

/// Reads `bytes` as the data path does: the head's end, the head, the body as far as it came.
fn read(bytes: &[u8], parse: impl Fn(Bytes) -> Result<BodyLength, FramingError>) -> Result<(), FramingError> {
    let end = HeadEnd::default().find(bytes, 4096)?.ok_or(FramingError::Malformed("the head is not whole"))?;
    Body::new(parse(Bytes::copy_from_slice(&bytes[..end]))?).scan(&bytes[end..])?;
    Ok(())
}

fn check(cases: impl Iterator<Item = &'static Case>, read: impl Fn(&[u8]) -> Result<(), Problem>) {
    let mut wrong = Vec::new();
    for (section, bytes, expected) in cases {
        let seen = match read(bytes) {
            Ok(()) => Expected::Forward,
            Err(problem) => Expected::Refuse(problem.code.status()),
        };
        if seen != *expected {
            wrong.push(format!("RFC {section}: {seen:?}, not {expected:?}: {:?}", String::from_utf8_lossy(bytes)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn requests_are_let_through_or_refused_as_the_table_says() {
    assert!(requests().count() >= 250, "{}", requests().count());
    check(requests(), |bytes| {
        read(bytes, |raw| RequestHead::parse(raw, 100).map(|head| head.length())).map_err(FramingError::of_request)
    });
}

#[test]
fn answers_are_let_through_or_refused_as_the_table_says() {
    assert!(answers().count() >= 80, "{}", answers().count());
    check(answers(), |bytes| {
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
    for (status, method) in [(200, "HEAD"), (204, "GET"), (304, "GET"), (101, "GET"), (200, "CONNECT")] {
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

/// Whole heads and pieces of heads, well-formed or nearly.
fn heads() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"Host: x\r\n".to_vec()),
        Just(b"Content-Length: 3\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        "[A-Za-z-]{1,9}:[ \t]?[ -~]{0,9}[ \t]?\r\n".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Whatever comes: no panic, and what is accepted is all there, byte for byte, in its lines.
    #[test]
    fn a_head_is_the_sum_of_its_lines(bytes in heads()) {
        if let Ok(Some(end)) = HeadEnd::default().find(&bytes, 4096) {
            let raw = Bytes::copy_from_slice(&bytes[..end]);
            if let Ok(head) = RequestHead::parse(raw.clone(), 100) {
                prop_assert_eq!(head.raw(), &raw);
                let fields: usize = head.fields().iter().map(|field| field.line_range().len()).sum();
                let start = head.fields().first().map_or(end - 2, |field| field.line_range().start);
                prop_assert_eq!(start + fields + 2, end);
                let cut: Vec<_> = head.fields().iter().map(Field::line_range).collect();
                prop_assert_eq!(head.without(&cut), [&raw[..start], b"\r\n"].concat());
            }
            let answer = AnswerHead::parse(raw.clone(), 100, "GET");
            if let Ok(head) = answer {
                prop_assert_eq!(head.raw(), &raw);
            }
        }
    }

    /// However a chunked body is cut into pieces, its end is found at the same byte.
    #[test]
    fn a_body_ends_at_the_same_byte_however_it_comes(bytes in heads(), cut in any::<prop::sample::Index>()) {
        let whole = [b"4;a=b\r\nabcd\r\n".as_slice(), b"0\r\n", &bytes].concat();
        let cut = cut.index(whole.len());
        let mut once = Body::new(BodyLength::Chunked);
        let expected = once.scan(&whole);
        let mut twice = Body::new(BodyLength::Chunked);
        let first = twice.scan(&whole[..cut]);
        let both = first.and_then(|first| if first < cut { Ok(first) } else { Ok(first + twice.scan(&whole[cut..])?) });
        prop_assert_eq!(both, expected);
        prop_assert_eq!(twice.is_done(), once.is_done());
    }
}
