//! Where the requests of a connection end.

use bytes::Bytes;
use cheops_agent::http::framing::HeadEnd;
use cheops_agent::http::{Body, RequestHead};

use super::hypers;
use super::{FIELDS, HEAD_BYTES};

/// One whole request of a connection.
pub struct Message<'a> {
    pub head: RequestHead,
    /// Its body as it stands in the bytes.
    pub body: &'a [u8],
}

/// The first byte chooses how the others arrive. However they do, the same requests end at the same places; and hyper
/// finds the same requests there, if it finds them well-formed.
pub fn framing(data: &[u8]) {
    let Some((seed, data)) = data.split_first() else { return };
    let (messages, end) = read(data, true, |_| usize::MAX);
    let mut sum = u64::from(*seed);
    let (pieces, same) = read(data, true, |left| {
        sum = sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (sum >> 33) as usize % (left.min(usize::from(*seed) + 1)) + 1
    });
    let bodies =
        |messages: &[Message<'_>]| messages.iter().map(|message| message.body.as_ptr_range()).collect::<Vec<_>>();
    assert_eq!(bodies(&messages), bodies(&pieces));
    assert_eq!(end, same);
    let expected = hypers::read(data);
    for (ours, theirs) in messages.iter().zip(&expected) {
        hypers::compare(ours, theirs);
    }
}

/// The requests of a connection, as the agent frames them, to a service that never leaves HTTP.
pub fn messages(data: &[u8]) -> Vec<Message<'_>> {
    read(data, false, |_| usize::MAX).0
}

/// How the bytes came to their end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The message that begins here is refused.
    Refused(usize),
    /// The message that begins here isn't whole.
    Open(usize),
    /// What follows isn't HTTP.
    Left(usize),
}

/// Reads `data` as a connection does: in pieces, of which `next` gives the lengths. `tunnels`: stops where the service may
/// leave HTTP.
fn read(data: &[u8], tunnels: bool, mut next: impl FnMut(usize) -> usize) -> (Vec<Message<'_>>, End) {
    let mut messages = Vec::new();
    let (mut start, mut arrived) = (0, 0);
    while start < data.len() {
        let mut more = |arrived: &mut usize| {
            let left = data.len() - *arrived;
            *arrived += if left == 0 { 0 } else { next(left).min(left) };
            left > 0
        };
        let mut end = HeadEnd::default();
        let length = loop {
            match end.find(&data[start..arrived], HEAD_BYTES) {
                Ok(Some(length)) => break length,
                Ok(None) if more(&mut arrived) => {}
                Ok(None) => return (messages, End::Open(start)),
                Err(_) => return (messages, End::Refused(start)),
            }
        };
        let begin = start + length;
        let raw = Bytes::copy_from_slice(&data[start..begin]);
        let Ok(head) = RequestHead::parse(raw, FIELDS) else { return (messages, End::Refused(start)) };
        let mut body = Body::new(head.length());
        let mut at = begin;
        while !body.is_done() {
            match body.scan(&data[at..arrived]) {
                Ok(used) => {
                    assert!(at + used <= arrived);
                    assert!(body.is_done() || at + used == arrived, "the body stopped before its end");
                    at += used;
                }
                Err(_) => return (messages, End::Refused(start)),
            }
            if !body.is_done() && !more(&mut arrived) {
                return (messages, End::Open(start));
            }
        }
        let left = tunnels && (head.method() == "CONNECT" || head.upgrades()) || !head.persists();
        messages.push(Message { head, body: &data[begin..at] });
        start = at;
        if left {
            break;
        }
    }
    (messages, End::Left(start))
}
