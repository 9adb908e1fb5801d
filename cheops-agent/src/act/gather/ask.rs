//! What a list request asks for, and how each site is asked.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::marker::{Cursor, Marker};
use crate::http::{FramingError, Problem, RequestHead};
use crate::names::SiteName;
use crate::plan::{self, Destination, Plan};
use crate::profile::List;
use crate::profile::order::{self, By};

/// The parameter for the marker where the service has none.
const OWN: &str = "cheops-marker";
/// Fields that are about one site's answer, or that would make it unreadable here.
const TAKEN: &[&str] = &[
    "accept-encoding",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "range",
    "te",
    "expect",
    "upgrade",
];

/// How a site's next page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paging {
    /// There are no pages.
    None,
    /// By the last element's id.
    Id,
    /// By the query of the next page's URL.
    Link,
    /// By what the answer gives for it.
    Token,
}

/// A list request.
pub(super) struct Ask {
    pub(super) list: List,
    pub(super) paging: Paging,
    /// Empty: the sites' elements follow one another.
    pub(super) order: Vec<By>,
    pub(super) limit: Option<usize>,
    /// Where the pages before ended.
    marker: Option<Marker>,
}

impl Ask {
    /// # Errors
    /// When it goes on behind an element of a single site's list.
    pub(super) fn of(request: &RequestHead, list: List) -> Result<Self, Problem> {
        let paging = match (&list.token, &list.marker, &list.next) {
            (Some(_), ..) => Paging::Token,
            (None, Some(_), _) => Paging::Id,
            (None, None, Some(_)) => Paging::Link,
            (None, None, None) => Paging::None,
        };
        let target = request.target();
        let by_id = matches!(paging, Paging::Id | Paging::None);
        let order = list.sort.as_ref().filter(|_| by_id).map(|sort| order::of(sort, |name| values(target, name)));
        let limit = list.limit.as_deref().and_then(|name| values(target, name).first()?.parse().ok());
        let marker = values(target, parameter(&list)).first().map(|text| Marker::read(text)).transpose()?;
        Ok(Self { paging, order: order.unwrap_or_default(), limit: limit.filter(|limit| *limit > 0), marker, list })
    }

    pub(super) fn cursor(&self, site: &SiteName) -> Cursor {
        self.marker.as_ref().map(|marker| marker.of(site)).unwrap_or_default()
    }

    /// The head for one site.
    ///
    /// # Errors
    /// When what a client or a site gave makes no head.
    pub(super) fn head(
        &self,
        request: &RequestHead,
        plan: &Plan,
        to: &Destination,
        cursor: &Cursor,
    ) -> Result<Bytes, FramingError> {
        let name = parameter(&self.list);
        let plain = with(request.target(), name, None);
        let target = match (cursor, self.paging) {
            (Cursor::After(ids), _) => with(&plain, name, ids.last().map(String::as_str)),
            (Cursor::At(token), Paging::Token) => with(&plain, name, Some(token)),
            (Cursor::At(query), _) => format!("{}?{query}", plain.split('?').next().unwrap_or_default()),
            (Cursor::Fresh | Cursor::Done(_), _) => plain,
        };
        let taken = |field: &&crate::http::head::Field| {
            let name = request.name(field);
            TAKEN.iter().any(|taken| name.eq_ignore_ascii_case(taken))
        };
        let cut: Vec<Range<usize>> = request.fields().iter().filter(taken).map(|field| field.line_range()).collect();
        let raw = request.without(&cut);
        let place = request.target_range();
        let mut head = BytesMut::with_capacity(raw.len() + target.len());
        head.put_slice(raw.get(..place.start).unwrap_or_default());
        head.put_slice(target.as_bytes());
        head.put_slice(raw.get(place.end..).unwrap_or_default());
        let head = RequestHead::parse(head.freeze(), crate::http::framing::MAX_FIELDS)?;
        Ok(plan::forward::request(&head, plan, to))
    }

    /// The URL of the next page, as the client asks for it: its own request's with the marker, which still has the
    /// scope if that came in the query. `like` is a link of the service, whose form it takes.
    pub(super) fn next(&self, client: &RequestHead, plan: &Plan, marker: &str, like: Option<&str>) -> String {
        let link = with(client.target(), parameter(&self.list), Some(marker));
        let range = plan::target::path_range(&link).unwrap_or(0..0);
        let path = link.get(range.start..).unwrap_or_default();
        let like_path = like.and_then(|like| like.get(plan::target::path_range(like)?)).unwrap_or_default();
        let own = if plan::target::behind(like_path, &plan.prefix).is_none() && !like_path.is_empty() {
            plan::target::behind(path, &plan.prefix).unwrap_or(path)
        } else {
            path
        };
        match like.is_some_and(|like| like.contains("://")) {
            true => {
                let host = client.first("host").map(String::from_utf8_lossy).unwrap_or_default();
                format!("http://{host}{own}")
            }
            false => own.to_owned(),
        }
    }
}

/// The query of a link.
pub(super) fn query(link: &str) -> Option<String> {
    let query = link.split_once('?')?.1.split('#').next()?;
    let fits = query.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    fits.then(|| query.to_owned())
}

/// The parameter that has the marker.
fn parameter(list: &List) -> &str {
    list.marker.as_deref().unwrap_or(OWN)
}

fn pairs(target: &str) -> impl Iterator<Item = &str> {
    target.split_once('?').map(|(_, query)| query).unwrap_or_default().split('&').filter(|pair| !pair.is_empty())
}

fn is(pair: &str, name: &str) -> bool {
    percent_decode_str(pair.split('=').next().unwrap_or_default()).decode_utf8_lossy() == name
}

/// The decoded values of a query parameter, in their order.
fn values(target: &str, name: &str) -> Vec<String> {
    let value = |pair: &str| {
        let raw = pair.split_once('=').map(|(_, value)| value).unwrap_or_default().replace('+', " ");
        percent_decode_str(&raw).decode_utf8_lossy().into_owned()
    };
    pairs(target).filter(|pair| is(pair, name)).map(value).collect()
}

/// The target with this parameter only once, or without it. All others stay as they are.
fn with(target: &str, name: &str, value: Option<&str>) -> String {
    let path = target.split('?').next().unwrap_or_default();
    let mut query: Vec<String> = pairs(target).filter(|pair| !is(pair, name)).map(str::to_owned).collect();
    query.extend(value.map(|value| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))));
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_and_set_and_the_others_stay() {
        assert_eq!(values("/a?x=1&%78=a%20b+c&y", "x"), ["1", "a b c"]);
        assert_eq!(values("/a", "x"), [""; 0]);
        assert_eq!(with("/a?x=1&y=%2F&x=2", "x", Some("a/b")), "/a?y=%2F&x=a%2Fb");
        assert_eq!(with("/a?x=1", "x", None), "/a");
        assert_eq!(query("http://h/a?b=1#c").as_deref(), Some("b=1"));
        assert_eq!((query("/a"), query("/a?b c\r\nd")), (None, None));
    }
}
