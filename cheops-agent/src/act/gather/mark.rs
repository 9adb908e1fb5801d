//! How an element of a list says of which site it is.

use super::document::quoted;
use crate::names::SiteName;

/// An element's bytes up to where the mark goes, and the rest with the mark; one that is no object has no place for it.
pub(super) fn marked<'a>(element: &'a [u8], site: &SiteName) -> (&'a [u8], String) {
    let Some(inside) = element.strip_suffix(b"}") else { return (element, String::new()) };
    let empty = inside.iter().skip(1).all(u8::is_ascii_whitespace);
    let comma = if empty { "" } else { "," };
    (inside, format!("{comma}\"cheops_site\":{}}}", quoted(site.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_marked_behind_their_last_member() {
        let mark = |element: &str| {
            let (bytes, end) = marked(element.as_bytes(), &"Ber\"lin".into());
            String::from_utf8_lossy(bytes).into_owned() + &end
        };
        assert_eq!(mark(r#"{"a":1.0 }"#), r#"{"a":1.0 ,"cheops_site":"Ber\"lin"}"#);
        assert_eq!(mark("{ }"), r#"{ "cheops_site":"Ber\"lin"}"#);
        assert_eq!((mark("[1]"), mark("7")), ("[1]".to_owned(), "7".to_owned()));
    }
}
