//! What a list request asks for, and how each site is asked.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::answer;
use crate::http::query::{values, with};
use crate::http::{FramingError, Problem, RequestHead};
use crate::names::SiteName;
use crate::plan::marker::{Cursor, Marker};
use crate::plan::{self, Destination, Plan};
use crate::profile::List;
use crate::profile::order::{self, By};

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

/// A page's length while elements are passed over; services give less if they like.
const LONG: usize = 1000;

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
    /// The id of the last element that the client saw, where it says that instead.
    pub(super) behind: Option<String>,
}

impl Ask {
    /// # Errors
    /// When it goes on behind an element of a single site's list.
    pub(super) fn of(request: &RequestHead, list: List) -> Result<Self, Problem> {
        let token = list.token.is_some() || list.token_header.is_some();
        let told = list.next.is_some() || list.next_header.is_some();
        let paging = match (&list.marker, told) {
            _ if token => Paging::Token,
            (Some(_), _) => Paging::Id,
            (None, true) => Paging::Link,
            (None, false) => Paging::None,
        };
        let target = request.target();
        let order = list.sort.as_ref().map(|sort| order::of(sort, |name| values(target, name)));
        let limit = list.limit.as_deref().and_then(|name| values(target, name).first()?.parse().ok());
        let given = values(target, list.parameter()).into_iter().next();
        let (marker, behind) = match given.as_deref().map(Marker::read) {
            None => (None, None),
            Some(Ok(marker)) => (Some(marker), None),
            Some(Err(_)) if paging == Paging::Id && list.id.is_some() && !Marker::is_like(given.as_deref()) => {
                (None, given)
            }
            Some(Err(problem)) => return Err(problem),
        };
        let (order, limit) = (order.unwrap_or_default(), limit.filter(|limit| *limit > 0));
        Ok(Self { paging, order, limit, marker, behind, list })
    }

    /// Whether this is not the first page.
    pub(super) fn goes_on(&self) -> bool {
        self.marker.is_some()
    }

    /// Whether pages of several sites' elements end anywhere; else only where a page of a site does.
    pub(super) fn cuts(&self) -> bool {
        self.paging == Paging::Id || (self.paging != Paging::None && !self.order.is_empty())
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
        let name = self.list.parameter();
        let plain = match (&self.behind, self.list.limit.as_deref(), self.limit) {
            // Short pages would take many requests until that element.
            (Some(_), Some(limit), Some(most)) => {
                with(&with(request.target(), name, None), limit, Some(&most.max(LONG).to_string()))
            }
            _ => with(request.target(), name, None),
        };
        let target = match (cursor, self.paging) {
            (Cursor::After(ids), _) => with(&plain, name, ids.last().map(String::as_str)),
            (Cursor::At(token) | Cursor::Within(Some(token), _), Paging::Token) => with(&plain, name, Some(token)),
            (Cursor::At(query) | Cursor::Within(Some(query), _), _) => {
                format!("{}?{query}", plain.split('?').next().unwrap_or_default())
            }
            (Cursor::Fresh | Cursor::Within(None, _) | Cursor::Done(_), _) => plain,
        };
        let taken = |field: &&crate::http::Field| {
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
        // Without a word of it any coding would do (RFC 9110, 12.5.3).
        let head = answer::with(&head, "Accept-Encoding: identity\r\n");
        let head = RequestHead::parse(head, crate::http::MAX_FIELDS)?;
        Ok(plan::forward::request(&head, plan, to))
    }

    /// The URL of the next page, as the client asks for it: its own request's with the marker, which still has the
    /// scope if that came in the query. `like` is a link of the service, whose form it takes.
    pub(super) fn next(&self, client: &RequestHead, plan: &Plan, marker: &str, like: Option<&str>) -> String {
        let link = with(client.target(), self.list.parameter(), Some(marker));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_link_is_cut_out_and_fits_a_target() {
        assert_eq!(query("http://h/a?b=1#c").as_deref(), Some("b=1"));
        assert_eq!(query("?page=2").as_deref(), Some("page=2"));
        assert_eq!((query("/a"), query("/a?b c\r\nd")), (None, None));
    }
}
