//! What an answer says of its request: the fields that tell whose answer it is.

use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::ids::Restored;
use crate::http::AnswerHead;
use crate::plan::{self, Destination, Plan};

/// What may not stand in a field's value as it is (RFC 9110, 5.5), and what separates our own lists.
const VALUE: &AsciiSet = &CONTROLS.add(b',').add(b'=').add(b'%');

/// A site that was asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    pub site: crate::names::SiteName,
    /// `unreachable`, `declined` or `answered`.
    pub outcome: &'static str,
}

/// What an answer says of its request.
pub struct Marks<'a> {
    /// `X-Cheops-Request`.
    pub request: &'a str,
    /// The client's own in headers that its service answers with another value.
    pub restored: &'a Restored,
    /// The sites that were asked before.
    pub tried: &'a [Tried],
}

/// An answer's head as the client sees it: locations at the serving endpoint mapped to the addressed one, and the fields
/// that say whose answer it is. Every other byte is the service's own.
pub fn marked(head: &AnswerHead, plan: &Plan, from: &Destination, marks: &Marks<'_>) -> Bytes {
    let Marks { request, restored, tried } = marks;
    let own = plan::forward::answer(head, plan, from, restored);
    let mut fields = String::new();
    let site = value(from.site.as_str());
    // Writing to a string can't fail.
    let _written = write!(fields, "X-Cheops-Request: {request}\r\nX-Cheops-Site: {site}\r\n");
    if !tried.is_empty() {
        let before = tried.iter().map(|tried| format!("{}={}, ", value(tried.site.as_str()), tried.outcome));
        let before: String = before.collect();
        let _written = write!(fields, "X-Cheops-Sites: {before}{site}=answered\r\n");
    }
    let end = own.len().saturating_sub(2);
    let mut marked = BytesMut::with_capacity(own.len() + fields.len());
    marked.put_slice(own.get(..end).unwrap_or_default());
    marked.put_slice(fields.as_bytes());
    marked.put_slice(own.get(end..).unwrap_or_default());
    marked.freeze()
}

/// As it may stand in a field.
pub(super) fn value(text: &str) -> String {
    utf8_percent_encode(text, VALUE).to_string()
}
