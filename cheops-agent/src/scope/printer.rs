//! A scope as text: the normal form (by `Display`) and the JSON form. `parse` of either gives the same scope back.

use std::fmt;
use std::time::Duration;

use super::json::is_object;
use super::lexer::is_plain;
use super::{Expr, Item, Name, Scope};

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<String> = self.items.iter().map(Item::to_string).collect();
        let text = format!("{{{}}}", items.join(", "));
        // Where all names are quoted the text may be JSON as well, in which a backslash begins an escape.
        let misread = text.contains('\\') && is_object(&text);
        f.write_str(if misread { self.to_json() } else { text }.as_str())
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { service, expr } => write!(f, "{service}: {expr}"),
            Self::Prime { service: None, site } => write!(f, "prime: {site}"),
            Self::Prime { service: Some(service), site } => write!(f, "prime({service}): {site}"),
            Self::Around { site, within } => write!(f, "around: {site}, {}", Span(*within)),
            Self::Bare(expr) => expr.fmt(f),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self {
            Self::Site(name) => return name.fmt(f),
            Self::Around { site, within } => return write!(f, "around({site}, {})", Span(*within)),
            Self::All(_) => return f.write_str("*"),
            Self::Replicate(_) => " & ",
            Self::Cross(_) => " % ",
            Self::Otherwise(_) => " || ",
        };
        for (n, part) in self.parts().iter().enumerate() {
            if n > 0 {
                f.write_str(sign)?;
            }
            if part.parts().is_empty() { part.fmt(f)? } else { write!(f, "({part})")? }
        }
        Ok(())
    }
}

/// As it must be written: with quotes only where they are needed.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_plain(&self.text) { f.write_str(&self.text) } else { write!(f, "\"{}\"", self.text) }
    }
}

/// A duration in the largest unit that needs no fraction; microseconds with one where none does.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        match nanos {
            _ if nanos.is_multiple_of(1_000_000_000) => write!(f, "{}s", nanos / 1_000_000_000),
            _ if nanos.is_multiple_of(1_000_000) => write!(f, "{}ms", nanos / 1_000_000),
            _ if nanos.is_multiple_of(1_000) => write!(f, "{}us", nanos / 1_000),
            _ => write!(f, "{}.{:03}us", nanos / 1_000, nanos % 1_000),
        }
    }
}

impl Scope {
    /// The JSON form: one object with string values; the key `""` is the addressed service.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        for item in &self.items {
            let (key, value) = match item {
                Item::Bind { service, expr } => (service.text.clone(), expr.to_string()),
                Item::Prime { service: None, site } => ("prime".to_owned(), site.to_string()),
                Item::Prime { service: Some(service), site } => (format!("prime({service})"), site.to_string()),
                Item::Around { site, within } => ("around".to_owned(), format!("{site}, {}", Span(*within))),
                Item::Bare(expr) => (String::new(), expr.to_string()),
            };
            if out.len() > 1 {
                out.push(',');
            }
            out += &member(&key, &value);
        }
        out.push('}');
        out
    }
}

/// `"key":"value"`, escaped; only in ASCII, so that it fits into a header.
pub(super) fn member(key: &str, value: &str) -> String {
    let member = format!("{}:{}", serde_json::Value::from(key), serde_json::Value::from(value));
    let mut units = [0; 2];
    let mut out = String::with_capacity(member.len());
    for c in member.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            c.encode_utf16(&mut units).iter().for_each(|unit| out += &format!("\\u{unit:04x}"));
        }
    }
    out
}
