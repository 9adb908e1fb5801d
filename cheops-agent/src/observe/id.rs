//! The value of `X-Cheops-Request`.

use std::fmt::Write as _;

/// A fresh request id: 128 random bits as 32 hex digits, which is also a trace id of W3C Trace Context.
pub fn request_id() -> String {
    let mut text = String::with_capacity(32);
    // Writing to a String can't fail.
    if write!(text, "{:032x}", rand::random::<u128>()).is_err() {
        text.clear();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_and_differ() {
        let (one, other) = (request_id(), request_id());
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one, other);
    }
}
