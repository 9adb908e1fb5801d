//! Answers, as they come: their heads, and their bodies in pieces.

use bytes::Bytes;
use cheops_agent::http::framing::HeadEnd;
use cheops_agent::http::{AnswerHead, Body, BodyLength};

use super::pieces::Pieces;
use super::{FIELDS, HEAD_BYTES};

/// The first byte chooses how the others arrive, and what they answer. However they arrive, the same answers end at the
/// same places, or the same is refused.
pub fn answer(data: &[u8]) {
    let Some((seed, data)) = data.split_first() else { return };
    let method = ["GET", "HEAD", "CONNECT", "POST"][usize::from(*seed) % 4];
    assert_eq!(read(data, method, Pieces::whole()), read(data, method, Pieces::of(*seed)));
}

/// Status and body of each answer, and whether what follows is refused.
fn read(data: &[u8], method: &str, mut pieces: Pieces) -> (Vec<(u16, BodyLength, usize)>, bool) {
    let (mut answers, mut start, mut arrived) = (Vec::new(), 0, 0);
    loop {
        let mut end = HeadEnd::default();
        let length = loop {
            match end.find(&data[start..arrived], HEAD_BYTES) {
                Ok(Some(length)) => break length,
                Ok(None) if pieces.more(data.len(), &mut arrived) => {}
                Ok(None) => return (answers, false),
                Err(_) => return (answers, true),
            }
        };
        let raw = Bytes::copy_from_slice(&data[start..start + length]);
        let Ok(head) = AnswerHead::parse(raw, FIELDS, method) else { return (answers, true) };
        assert!(method != "HEAD" || head.length() == BodyLength::None);
        let begin = start + length;
        let Some((size, whole)) = body(&data[begin..], arrived - begin, head.length(), &mut pieces) else {
            return (answers, true);
        };
        answers.push((head.status(), head.length(), size));
        start = begin + size;
        arrived = arrived.max(start);
        if !whole || !head.is_interim() && !head.persists() {
            return (answers, false);
        }
    }
}

/// How many bytes are the body's, and whether it came to its end; `None`: it is refused.
fn body(data: &[u8], mut arrived: usize, length: BodyLength, pieces: &mut Pieces) -> Option<(usize, bool)> {
    let (mut body, mut at) = (Body::new(length), 0);
    while !body.is_done() {
        let used = body.scan(&data[at..arrived]).ok()?;
        assert!(body.is_done() || at + used == arrived, "the body stopped before its end");
        at += used;
        if !body.is_done() && !pieces.more(data.len(), &mut arrived) {
            return Some((at, false));
        }
    }
    Some((at, true))
}
