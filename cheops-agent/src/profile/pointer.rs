//! Pointers into bodies (RFC 6901), checked when a profile is loaded.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A field of a JSON body: `/server/id`. A segment `*` stands for each element of a list. Empty: the whole body.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer(String);

/// Why text is no pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    #[error("a pointer is empty or begins with \"/\" (RFC 6901)")]
    NoSlash,
    #[error("in a pointer \"~\" is written ~0, and \"/\" within a name ~1 (RFC 6901)")]
    BadEscape,
}

impl Pointer {
    /// The pointer as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Pointer {
    type Error = PointerError;

    fn try_from(text: String) -> Result<Self, PointerError> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(PointerError::NoSlash);
        }
        if text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
            return Err(PointerError::BadEscape);
        }
        Ok(Self(text))
    }
}

impl From<Pointer> for String {
    fn from(pointer: Pointer) -> String {
        pointer.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_checked() {
        for good in ["", "/", "/server/id", "/a~1b/~0", "/networks/*/uuid", "/0"] {
            assert_eq!(Pointer::try_from(good.to_owned()).expect(good).as_str(), good);
        }
        for (bad, why) in [
            ("server", PointerError::NoSlash),
            ("$.a", PointerError::NoSlash),
            ("/a~", PointerError::BadEscape),
            ("/~2", PointerError::BadEscape),
        ] {
            assert_eq!(Pointer::try_from(bad.to_owned()), Err(why), "{bad}");
        }
    }
}
