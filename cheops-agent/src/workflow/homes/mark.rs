//! A credential without the credential: what agents tell each other, and what one of them keeps.

use std::fmt;
use std::str::FromStr;

use ring::{digest, hmac, rand};

/// Bytes of a mark and of a tag.
const LENGTH: usize = 16;
/// Bytes of an agent's key.
pub(super) const KEY_LENGTH: usize = 32;
/// So that a mark is of no use where the same credential is hashed for something else.
const PURPOSE: &[u8] = b"cheops credential 1\0";

/// By which agents speak of a credential over their links: a hash of it, cut short. Credentials hold too much chance to be
/// found from it. It is neither kept nor shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Mark([u8; LENGTH]);

impl Mark {
    pub fn of(credential: &[u8]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(PURPOSE);
        context.update(credential);
        Self(cut(context.finish().as_ref()))
    }
}

/// It says nothing to anybody who reads a log.
impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mark")
    }
}

/// As agents tell it: hexadecimal digits.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A text that is no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no mark of a credential")]
pub struct NoMark;

impl FromStr for Mark {
    type Err = NoMark;

    fn from_str(text: &str) -> Result<Self, NoMark> {
        hexadecimal(text).map(Self).ok_or(NoMark)
    }
}

/// A mark under the key of one agent: what its tables go by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag([u8; LENGTH]);

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag")
    }
}

impl Tag {
    pub(super) fn to_text(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        hexadecimal(text).map(Self)
    }
}

/// The key of one agent.
pub(super) struct Key(hmac::Key);

impl Key {
    pub(super) fn new(secret: &[u8; KEY_LENGTH]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Fresh bytes for one.
    ///
    /// # Errors
    /// Without a source of chance.
    pub(super) fn secret() -> Result<[u8; KEY_LENGTH], ring::error::Unspecified> {
        Ok(rand::generate(&rand::SystemRandom::new())?.expose())
    }

    pub(super) fn tag(&self, mark: &Mark) -> Tag {
        Tag(cut(hmac::sign(&self.0, &mark.0).as_ref()))
    }
}

/// For a table that goes with the agent.
impl Default for Key {
    fn default() -> Self {
        Self::new(&::rand::random())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

fn cut(hash: &[u8]) -> [u8; LENGTH] {
    let mut short = [0; LENGTH];
    short.iter_mut().zip(hash).for_each(|(to, byte)| *to = *byte);
    short
}

fn hexadecimal(text: &str) -> Option<[u8; LENGTH]> {
    let fits = text.len() == 2 * LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_and_read_and_say_nothing() {
        let mark = Mark::of(b"gAAAA-token");
        assert_eq!(mark.to_string().parse(), Ok(mark.clone()));
        assert_ne!(mark, Mark::of(b"gAAAA-tokeN"));
        assert_eq!(format!("{mark:?} {:?}", Key::default().tag(&mark)), "Mark Tag");
        for bad in ["", "00", "+0000000000000000000000000000000", "0000000000000000000000000000000G"] {
            assert_eq!(bad.parse::<Mark>(), Err(NoMark), "{bad}");
        }
    }

    #[test]
    fn each_agent_has_its_own_tags() {
        let mark = Mark::of(b"gAAAA-token");
        let secret = Key::secret().expect("chance");
        assert_eq!(Key::new(&secret).tag(&mark), Key::new(&secret).tag(&mark));
        assert_ne!(Key::default().tag(&mark), Key::default().tag(&mark));
        let tag = Key::new(&secret).tag(&mark);
        assert_eq!(Tag::from_text(&tag.to_text()), Some(tag));
    }
}
