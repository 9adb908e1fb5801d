//! Whose request it is: a mark of its credential, from which nobody can find the credential, and that differs from request
//! to request although the credential is the same.

use std::fmt;

use ring::hmac;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

/// Bytes of a mark.
const LENGTH: usize = 16;
/// So that a mark is of no use where the same credential is marked for something else.
const PURPOSE: &[u8] = b"cheops caller 1\0";
/// A request's id has fewer bytes.
const LONGEST_SALT: usize = 128;

/// The mark of a credential: HMAC-SHA-256 under the id of the request that came with it first, cut short.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Caller {
    salt: String,
    mark: [u8; LENGTH],
}

impl Caller {
    /// Marks a credential for the request with this id.
    pub fn of(credential: &[u8], request: &str) -> Self {
        Self { salt: request.to_owned(), mark: mark(credential, request) }
    }

    /// Whether this is the mark of that credential.
    pub fn is(&self, credential: &[u8]) -> bool {
        mark(credential, &self.salt).ct_eq(&self.mark).into()
    }

    /// Whether both are of one credential; None where that can't be known.
    pub fn same(&self, other: &Self) -> Option<bool> {
        (self.salt == other.salt).then(|| self.mark == other.mark)
    }
}

fn mark(credential: &[u8], salt: &str) -> [u8; LENGTH] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, salt.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(PURPOSE);
    context.update(credential);
    let mut mark = [0; LENGTH];
    for (to, byte) in mark.iter_mut().zip(context.sign().as_ref()) {
        *to = *byte;
    }
    mark
}

/// As agents tell it: the mark in hexadecimal, a dot, and its salt.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}.{}", u128::from_be_bytes(self.mark), self.salt)
    }
}

/// It says nothing to anybody who reads a log.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caller")
    }
}

/// A text that is no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no mark of a caller")]
pub struct NoCaller;

impl std::str::FromStr for Caller {
    type Err = NoCaller;

    fn from_str(text: &str) -> Result<Self, NoCaller> {
        let (mark, salt) = text.split_once('.').ok_or(NoCaller)?;
        let fits = mark.len() == 2 * LENGTH
            && mark.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && (1..=LONGEST_SALT).contains(&salt.len())
            && salt.bytes().all(|byte| byte.is_ascii_graphic());
        let mark = u128::from_str_radix(mark, 16).ok().filter(|_| fits).ok_or(NoCaller)?;
        Ok(Self { salt: salt.to_owned(), mark: mark.to_be_bytes() })
    }
}

impl TryFrom<String> for Caller {
    type Error = NoCaller;

    fn try_from(text: String) -> Result<Self, NoCaller> {
        text.parse()
    }
}

impl From<Caller> for String {
    fn from(caller: Caller) -> Self {
        caller.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_knows_its_credential_and_no_other() {
        let caller = Caller::of(b"gAAAA-token", "r-1");
        assert!(caller.is(b"gAAAA-token") && !caller.is(b"gAAAA-tokeN") && !caller.is(b""));
        let other = Caller::of(b"gAAAA-token", "r-2");
        assert_ne!(caller, other, "the same credential has another mark in each request");
        assert_eq!(caller.same(&other), None);
        assert_eq!(caller.same(&Caller::of(b"gAAAA-token", "r-1")), Some(true));
        assert_eq!(caller.same(&Caller::of(b"another", "r-1")), Some(false));
    }

    #[test]
    fn it_is_told_without_the_credential_and_read_again() {
        let caller = Caller::of(b"gAAAA-token", "r-1");
        let text = caller.to_string();
        assert!(!text.contains("gAAAA") && text.ends_with(".r-1") && text.len() == 36, "{text}");
        assert_eq!(text.parse::<Caller>(), Ok(caller.clone()));
        assert_eq!(format!("{caller:?}"), "Caller");
        let long = format!("{}.{}", "0".repeat(32), "r".repeat(LONGEST_SALT + 1));
        for bad in
            ["", ".", "00.r", &text[1..], "+0000000000000000000000000000000.r", long.as_str(), &text.replace('.', ". ")]
        {
            assert_eq!(bad.parse::<Caller>(), Err(NoCaller), "{bad}");
        }
    }
}
