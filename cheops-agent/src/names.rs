//! Names of sites, hosts and services: cheap to clone, compared exactly.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name! {
    /// A place with its own instance of the application.
    SiteName
}
name! {
    /// A machine with an agent; unique within its site.
    HostName
}
name! {
    /// A named API, such as `Nova`.
    ServiceName
}

/// Signs of scope-lang. No name can hold them.
pub const SIGNS: &[char] = &['{', '}', '(', ')', ':', ',', '&', '%', '|', '*', '"'];

/// Words of scope-lang, reserved everywhere: no name is one, or has one among its words.
pub const RESERVED: [&str; 3] = ["otherwise", "prime", "around"];

/// Why text is no site's or service's name: no scope could say it, not even within quotes (AMENDMENTS 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    #[error("a name can't be empty")]
    Empty,
    #[error("a name can't begin or end with a space")]
    Edge,
    /// A sign of scope-lang or a control character, and the byte at which it stands.
    #[error("a name can't hold {}", shown(*.1))]
    Sign(usize, char),
    #[error("\"{0}\" is reserved and can't be part of a name")]
    Reserved(&'static str),
}

/// A character as it is named in messages.
pub fn shown(c: char) -> String {
    if c.is_control() { format!("U+{:04X}", u32::from(c)) } else { format!("\"{c}\"") }
}

/// Whether a scope can say this name.
pub fn check(name: &str) -> Result<(), NameFault> {
    if let Some((at, c)) = name.char_indices().find(|(_, c)| SIGNS.contains(c) || c.is_control()) {
        return Err(NameFault::Sign(at, c));
    }
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    if name.trim() != name {
        return Err(NameFault::Edge);
    }
    match RESERVED.into_iter().find(|word| name.split(' ').any(|part| part == *word)) {
        Some(word) => Err(NameFault::Reserved(word)),
        None => Ok(()),
    }
}

/// No word is compared beyond this length, in bytes: the search must stay cheap whatever was written.
const LONGEST_GUESS: usize = 64;

/// The known word that is nearest to what was written, by edits and without case; none when more than a third differs.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > LONGEST_GUESS {
        return None;
    }
    let lower = written.to_lowercase();
    known
        .into_iter()
        .filter(|name| name.len() <= LONGEST_GUESS)
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| distance * 3 <= name.chars().count().max(lower.chars().count()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
