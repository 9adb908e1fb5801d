//! Where a united list goes on: a place in each site's list, in one opaque text.
//!
//! The checksum tells a marker that was cut or mixed up. It is no secret and needs none: whoever makes one up gets no
//! further than by asking each site himself, since each is asked with the client's own credentials.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use crate::http::{Code, Problem};
use crate::names::SiteName;

/// How each begins, with its version.
const BEGINS: &str = "cheops1_";
/// Bytes of a marker as text: URLs of more are refused by many servers.
const MOST: usize = 16 * 1024;

/// A place in one site's list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cursor {
    /// At its beginning.
    #[default]
    #[serde(rename = "f")]
    Fresh,
    /// Behind the last of these elements, or of those before it once that is gone.
    #[serde(rename = "a")]
    After(Vec<String>),
    /// At a page, by its token or the query of its URL.
    #[serde(rename = "p")]
    At(String),
    /// In a page, as above or the first, behind so many of its elements.
    #[serde(rename = "i")]
    Within(Option<String>, usize),
    /// At its end, with the totals that it told.
    #[serde(rename = "d")]
    Done(Vec<Option<i64>>),
}

/// The places in all lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker(pub Vec<(String, Cursor)>);

impl Marker {
    /// None if it would be too long.
    pub fn write(&self) -> Option<String> {
        let mut bytes = serde_json::to_vec(self).ok()?;
        let sum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        let text = format!("{BEGINS}{}", BASE64.encode(bytes));
        (text.len() <= MOST).then_some(text)
    }

    /// Whether it is, or was, one that an agent wrote.
    pub fn is_like(text: Option<&str>) -> bool {
        text.is_some_and(|text| text.starts_with(BEGINS))
    }

    /// # Errors
    /// When it is none that an agent wrote.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let bad = |why: &str| {
            let mut problem = Problem::new(Code::InvalidMarker, why);
            problem.hint = Some("Follow the answer's own link to the next page.".to_owned());
            problem
        };
        let Some(coded) = text.strip_prefix(BEGINS).filter(|_| text.len() <= MOST) else {
            return Err(bad("the marker is not one of a list of several sites"));
        };
        let bytes = BASE64.decode(coded).unwrap_or_default();
        let Some((content, sum)) = bytes.split_last_chunk::<4>() else { return Err(bad("the marker is not whole")) };
        if crc32fast::hash(content).to_be_bytes() != *sum {
            return Err(bad("the marker is not whole"));
        }
        serde_json::from_slice(content).map_err(|_| bad("the marker can't be read"))
    }

    /// The place in one site's list; its beginning, if nothing is known of it.
    pub fn of(&self, site: &SiteName) -> Cursor {
        self.0.iter().find(|(known, _)| known == site.as_str()).map(|(_, cursor)| cursor.clone()).unwrap_or_default()
    }

    /// The sites whose lists are united, in their order.
    pub fn sites(&self) -> impl Iterator<Item = SiteName> {
        self.0.iter().map(|(site, _)| SiteName::from(site.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_as_it_was_written_and_no_other_is() {
        let marker = Marker(vec![
            ("Berlin".to_owned(), Cursor::After(vec!["a".to_owned(), "b".to_owned()])),
            ("Paris".to_owned(), Cursor::Done(vec![Some(7), None])),
            ("Nantes".to_owned(), Cursor::At("x=1&y=é".to_owned())),
            ("Lyon".to_owned(), Cursor::Fresh),
            ("Nice".to_owned(), Cursor::Within(Some("2".to_owned()), 7)),
        ]);
        let text = marker.write().expect("short");
        assert_eq!(Marker::read(&text), Ok(marker.clone()));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("ASCII");
            assert!(Marker::read(&other).is_err(), "changed at {at}");
            assert!(Marker::read(&text[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(Marker::read("7").map_err(|problem| problem.code), Err(Code::InvalidMarker));
        let long = Marker(vec![("Berlin".to_owned(), Cursor::At("x".repeat(MOST)))]);
        assert_eq!(long.write(), None);
    }
}
