//! A token: one word that lets one host in, once.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::names::{HostName, SiteName};
use crate::peer::trust::hex;

/// What every token of this version begins with, so that it is known where it is found.
const BEGINS: &str = "cheops-1-";
/// More than any token has.
const LONGEST: usize = 8 * 1024;

/// What the bearer proves to have. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A new one: 256 bits of chance.
    pub fn new() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
    }

    /// What is kept of it: SHA-256 in hexadecimal.
    pub fn hash(&self) -> String {
        hex(ring::digest::digest(&ring::digest::SHA256, self.0.as_bytes()).as_ref())
    }

    /// Whether this is the secret of which `hash` is kept. Takes the same time whether it is or not.
    pub fn is(&self, hash: &str) -> bool {
        self.hash().as_bytes().ct_eq(hash.as_bytes()).into()
    }
}

impl Default for Secret {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    #[serde(rename = "f")]
    pub federation: String,
    #[serde(rename = "s")]
    pub site: SiteName,
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// Where agents that sign are reached; the issuer first.
    #[serde(rename = "a")]
    pub addresses: Vec<String>,
    /// SHA-256 of the authority's certificate, in hexadecimal.
    #[serde(rename = "p")]
    pub fingerprint: String,
    #[serde(rename = "i")]
    pub id: String,
    #[serde(rename = "k")]
    pub secret: Secret,
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("it doesn't begin with {BEGINS}")]
    Begins,
    #[error("it is not whole; copy all of it")]
    Broken,
}

impl Token {
    /// The word.
    pub fn to_word(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let check = ring::digest::digest(&ring::digest::SHA256, &text);
        let all: Vec<u8> = check.as_ref().iter().take(4).chain(&text).copied().collect();
        format!("{BEGINS}{}", URL_SAFE_NO_PAD.encode(all))
    }

    /// Reads the word, with space around it or not.
    ///
    /// # Errors
    /// When it is none, or was cut.
    pub fn from_word(word: &str) -> Result<Self, TokenError> {
        let inner = word.trim().strip_prefix(BEGINS).ok_or(TokenError::Begins)?;
        if inner.len() > LONGEST {
            return Err(TokenError::Broken);
        }
        let all = URL_SAFE_NO_PAD.decode(inner).map_err(|_| TokenError::Broken)?;
        let (check, text) = all.split_at_checked(4).ok_or(TokenError::Broken)?;
        if !ring::digest::digest(&ring::digest::SHA256, text).as_ref().starts_with(check) {
            return Err(TokenError::Broken);
        }
        serde_json::from_slice(text).map_err(|_| TokenError::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            federation: "edge".into(),
            site: "New York".into(),
            host: None,
            addresses: vec!["10.77.0.1:7117".into()],
            fingerprint: "ab".repeat(32),
            id: "1f".into(),
            secret: Secret::new(),
        }
    }

    #[test]
    fn a_token_is_one_word_and_is_read_back() {
        let token = token();
        let word = token.to_word();
        assert!(word.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{word}");
        assert_eq!(Token::from_word(&format!("  {word}\n")), Ok(token));
    }

    #[test]
    fn what_was_cut_or_changed_is_told() {
        let word = token().to_word();
        assert_eq!(Token::from_word("hello"), Err(TokenError::Begins));
        for end in [BEGINS.len(), BEGINS.len() + 3, word.len() / 2, word.len() - 1] {
            assert_eq!(Token::from_word(&word[..end]), Err(TokenError::Broken), "{end}");
        }
        let other = word.replace(&word[20..22], if &word[20..22] == "ab" { "cd" } else { "ab" });
        assert_eq!(Token::from_word(&other), Err(TokenError::Broken));
    }

    #[test]
    fn a_secret_is_known_by_its_hash_and_never_printed() {
        let (one, other) = (Secret::new(), Secret::new());
        assert!(one.is(&one.hash()) && !other.is(&one.hash()) && !one.is(""));
        assert!(!format!("{:?}", token()).contains(&token().secret.0));
        let token = token();
        assert!(!format!("{token:?}").contains(&token.secret.0));
    }
}
