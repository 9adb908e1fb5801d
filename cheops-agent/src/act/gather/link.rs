//! The header `Link` (RFC 8288): which page comes next, and the links that are about one site's pages only.

use std::borrow::Cow;

use crate::http::AnswerHead;

/// Relations between the pages of one list.
const PAGES: &[&str] = &["next", "prev", "previous", "first", "last"];
/// Links of one header that are looked at.
const MOST: usize = 64;

/// One link of the header.
#[derive(Debug, PartialEq, Eq)]
struct Link<'a> {
    /// As it stands there.
    whole: &'a str,
    url: &'a str,
    /// The relations of the first `rel`; the others don't count.
    rel: Cow<'a, str>,
    /// It is about another resource than the list.
    anchored: bool,
}

impl Link<'_> {
    fn is(&self, relation: &str) -> bool {
        !self.anchored && self.rel.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case(relation))
    }
}

/// The URL of the next page.
pub(super) fn next(head: &AnswerHead) -> Option<String> {
    let values = head.named("link").filter_map(|field| std::str::from_utf8(head.value(field)).ok());
    let next = values.flat_map(links).find(|link| link.is("next"))?;
    (!next.url.is_empty()).then(|| next.url.to_owned())
}

/// The header's value without the links between pages; empty if no other is there.
pub(super) fn without_pages(value: &[u8]) -> String {
    let value = std::str::from_utf8(value).unwrap_or_default();
    let others = links(value).into_iter().filter(|link| !PAGES.iter().any(|relation| link.is(relation)));
    others.map(|link| link.whole).collect::<Vec<_>>().join(", ")
}

/// The links of one header, up to where it can't be read.
fn links(value: &str) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    let mut rest = value;
    while found.len() < MOST {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((url, behind)) = rest.strip_prefix('<').and_then(|inside| inside.split_once('>')) else { break };
        let length = end(behind, b',');
        let parameters = behind.get(..length).unwrap_or_default();
        let whole = rest.get(..rest.len() - behind.len() + length).unwrap_or_default().trim_end();
        found.push(Link { whole, url, rel: parameter(parameters, "rel").unwrap_or_default(), anchored: false });
        if let Some(link) = found.last_mut() {
            link.anchored = parameter(parameters, "anchor").is_some();
        }
        rest = behind.get(length..).unwrap_or_default();
    }
    found
}

/// Where the sign stands outside of quotes, or the text's end.
fn end(text: &str, sign: u8) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            byte if byte == sign && !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

/// The first parameter of that name, unquoted.
fn parameter<'a>(mut text: &'a str, wanted: &str) -> Option<Cow<'a, str>> {
    while let Some(inside) = text.trim_start().strip_prefix(';') {
        let length = end(inside, b';');
        let (one, behind) = inside.split_at_checked(length)?;
        let (name, value) = one.split_once('=').unwrap_or((one, ""));
        if name.trim().eq_ignore_ascii_case(wanted) {
            let value = value.trim();
            return Some(match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
                Some(quoted) => Cow::Owned(quoted.replace('\\', "")),
                None => Cow::Borrowed(value),
            });
        }
        text = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn of(fields: &str) -> Option<String> {
        let raw = Bytes::from(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n"));
        next(&AnswerHead::parse(raw, 100, "GET").expect("a head"))
    }

    #[test]
    fn the_next_page_is_found_however_it_is_written() {
        for (fields, expected) in [
            ("Link: </a?page=2>; rel=\"next\"\r\n", Some("/a?page=2")),
            ("link: <http://h/a?x=1,2;3>;rel=next;title=\"a, <b>; rel=prev\"\r\n", Some("http://h/a?x=1,2;3")),
            ("Link: </1>; rel=\"prev\", </3>; title=\"\\\", <x>\"; REL=\"last Next\" ,</9>; rel=last\r\n", Some("/3")),
            ("Link: </1>; rel=prev\r\nLink: , </2> ; rel = \"next\"\r\n", Some("/2")),
            ("Link: </2>; rel=prev; rel=next\r\n", None),
            ("Link: </2>; rel=next; anchor=\"/other\"\r\n", None),
            ("Link: </2>; rel=nextpage\r\n", None),
            ("Link: <>; rel=next\r\n", None),
            ("Link: </2; rel=next\r\n", None),
            ("Link: /2; rel=next\r\n", None),
            ("Link: </2>; rel=\"next\r\n", None),
            ("X-Link: </2>; rel=next\r\n", None),
        ] {
            assert_eq!(of(fields).as_deref(), expected, "{fields}");
        }
    }

    #[test]
    fn links_that_are_not_between_pages_stay() {
        let value = "</s.css>; rel=preload; as=style, </2>; rel=\"next\" , </help>; rel=\"help\"; title=\"a, b\"";
        assert_eq!(
            without_pages(value.as_bytes()),
            "</s.css>; rel=preload; as=style, </help>; rel=\"help\"; title=\"a, b\""
        );
        assert_eq!(without_pages(b"</2>; rel=next, </1>; rel=first"), "");
        assert_eq!(without_pages(b"\xff"), "");
    }
}
