//! Heads of requests and answers.

use std::ops::Range;

use bytes::Bytes;
use cheops_agent::http::head::RawHead;
use cheops_agent::http::{AnswerHead, BodyLength, RequestHead};

use super::{FIELDS, request};

/// No bytes panic; what is accepted is kept byte for byte, reads the same again, and loses what is cut and nothing else.
pub fn head(data: &[u8]) {
    let raw = Bytes::copy_from_slice(data);
    // Also what `HeadEnd` would never hand on.
    if let Ok(head) = RequestHead::parse(raw.clone(), FIELDS) {
        assert_eq!(head.raw(), data);
        parts(&head);
        request_parts(&head);
    }
    for method in ["GET", "HEAD", "CONNECT"] {
        if let Ok(head) = AnswerHead::parse(raw.clone(), FIELDS, method) {
            assert_eq!(head.raw(), data);
            parts(&head);
            assert!((100..1000).contains(&head.status()));
            assert!(method != "HEAD" || head.length() == BodyLength::None);
            assert!(!head.is_interim() || head.length() == BodyLength::None);
        }
    }
    if let Some(head) = request(data) {
        cutting(&head);
    }
}

/// Fields stand in order, apart, and inside.
fn parts(head: &RawHead) {
    let mut before = 0;
    for field in head.fields() {
        let (line, value) = (field.line_range(), field.value_range());
        assert!(before <= line.start && line.start <= value.start && value.end + 2 <= line.end);
        assert!(line.end <= head.raw().len());
        assert!(head.raw()[line.clone()].ends_with(b"\r\n"));
        assert!(!head.raw()[line.start..line.end - 2].contains(&b'\n'));
        let name = head.name(field);
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'));
        assert_eq!(head.value(field), head.value(field).trim_ascii());
        before = line.end;
    }
    assert_eq!(&head.raw()[head.raw().len() - 2..], b"\r\n");
}

fn request_parts(head: &RequestHead) {
    assert_eq!(&head.raw()[head.target_range()], head.target().as_bytes());
    assert!(!head.method().is_empty() && !head.target().is_empty());
    assert_ne!(head.length(), BodyLength::UntilClose);
    let again = RequestHead::parse(head.raw().clone(), FIELDS).expect("it was well-formed");
    assert_eq!(format!("{again:?}"), format!("{head:?}"));
}

/// Takes fields out, a different choice for different bytes.
fn cutting(head: &RequestHead) {
    let chosen = head.raw().iter().fold(0_u64, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte));
    let lines = head.fields().iter().enumerate();
    let cut: Vec<Range<usize>> =
        lines.filter(|(at, _)| chosen >> (at % 64) & 1 == 1).map(|(_, field)| field.line_range()).collect();
    let bytes = head.raw().iter().enumerate();
    let kept: Vec<u8> =
        bytes.filter(|(at, _)| !cut.iter().any(|range| range.contains(at))).map(|(_, byte)| *byte).collect();
    assert_eq!(head.without(&cut), kept);
    // Without some fields it may be refused (Host), but what is left is read as before.
    if let Some(less) = request(&kept) {
        assert_eq!((less.method(), less.target()), (head.method(), head.target()));
        assert_eq!(less.fields().len(), head.fields().len() - cut.len());
    }
}
