//! Probes as datagrams, beside the link: to the same port, with UDP.
//!
//! A link can't measure loss, since TCP hides it behind delays; and over a bad way it falls silent for seconds while its
//! packets are sent again. A datagram says by its number what got lost, by its answer how far it is, and also goes where
//! nothing comes back, so that a cut of one direction is seen as such. Each agent hands its peers a key over the
//! authenticated link; a datagram without that key's MAC (HMAC-SHA256, RFC 2104) is dropped unread, and one that is
//! repeated is not believed. Where datagrams don't pass, the link's own answers do.

mod aim;
mod ears;
mod socket;

pub(super) use aim::{Aim, key_of};
pub(super) use ears::Ears;
pub(super) use socket::carry;

use std::fmt;

use ring::hmac;
use serde::{Deserialize, Serialize};

/// A whole datagram.
pub(super) const LENGTH: usize = FIELDS + MAC;
const FIELDS: usize = 24;
const MAC: usize = 16;
/// The protocol and its version.
const MAGIC: [u8; 4] = *b"ChB1";
/// Bit of the flags: an answer, not a probe.
const ANSWER: u8 = 1;
/// Bit of the flags: the sender hears nothing of the receiver.
const DEAF: u8 = 2;

/// What an agent seals its probes of another with; made by that other.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub id: u64,
    pub secret: [u8; 32],
}

impl Key {
    fn new() -> Self {
        Self { id: rand::random(), secret: rand::random() }
    }

    fn mac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.secret)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:x})", self.id)
    }
}

/// What a datagram says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Beat {
    answer: bool,
    /// The sender hears nothing of the receiver.
    deaf: bool,
    /// Of the receiver's own probes: how many of how many came to the sender.
    came: u8,
    span: u8,
    key: u64,
    number: u64,
}

impl Beat {
    fn seal(&self, key: &hmac::Key) -> [u8; LENGTH] {
        let flags = if self.answer { ANSWER } else { 0 } | if self.deaf { DEAF } else { 0 };
        let fields = MAGIC
            .into_iter()
            .chain([flags, self.came, self.span, 0])
            .chain(self.key.to_be_bytes())
            .chain(self.number.to_be_bytes());
        let mut bytes = [0; LENGTH];
        let (head, tail) = bytes.split_at_mut(FIELDS);
        head.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
        let tag = hmac::sign(key, head);
        tail.iter_mut().zip(tag.as_ref()).for_each(|(byte, part)| *byte = *part);
        bytes
    }

    /// Which key a datagram says that it is sealed with.
    fn key_of(bytes: &[u8]) -> Option<u64> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (_, rest) = rest.split_first_chunk::<4>()?;
        let (key, _) = rest.split_first_chunk::<8>()?;
        (bytes.len() == LENGTH && *magic == MAGIC).then(|| u64::from_be_bytes(*key))
    }

    /// What it says, if it was sealed with this key.
    fn open(bytes: &[u8], key: &hmac::Key) -> Option<Self> {
        let (fields, tag) = bytes.split_at_checked(FIELDS)?;
        let id = Self::key_of(bytes)?;
        let whole = hmac::sign(key, fields);
        // Both are of the same length; compared in constant time.
        let same = whole.as_ref().iter().zip(tag).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0;
        let (_, rest) = fields.split_first_chunk::<4>()?;
        let ([flags, came, span, _], rest) = rest.split_first_chunk::<4>()?;
        let (number, _) = rest.get(8..)?.split_first_chunk::<8>()?;
        same.then(|| Self {
            answer: flags & ANSWER != 0,
            deaf: flags & DEAF != 0,
            came: *came,
            span: *span,
            key: id,
            number: u64::from_be_bytes(*number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_datagrams_of_the_key_are_opened() {
        let (key, other) = (Key::new(), Key::new());
        let beat = Beat { answer: true, deaf: true, came: 60, span: 64, key: key.id, number: 7 << 40 };
        let bytes = beat.seal(&key.mac());
        assert_eq!((Beat::key_of(&bytes), Beat::open(&bytes, &key.mac())), (Some(key.id), Some(beat)));
        assert_eq!(Beat::open(&bytes, &other.mac()), None);
        for at in 0..LENGTH {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert_eq!(Beat::open(&changed, &key.mac()), None, "byte {at}");
            assert_eq!(Beat::open(&bytes[..at], &key.mac()), None, "{at} bytes");
        }
        assert!(!format!("{key:?}").contains(&format!("{:?}", key.secret)));
    }
}
