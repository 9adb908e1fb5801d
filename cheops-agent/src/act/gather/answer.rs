//! The union's answer on the wire.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};

use super::link;
use crate::act::marks::{Marks, value};
use crate::act::stream::Stream;
use crate::act::wire::Wire;
use crate::http::{AnswerHead, RequestHead};
use crate::http::{Field, Version};
use crate::names::SiteName;
use crate::plan::forward::given_back;
use crate::profile::List;

/// Written at once. Bytes.
const PIECE: usize = 16 * 1024;
/// Fields that are about one site's body, or its connection.
const TAKEN: &[&str] = &[
    "content-length",
    "transfer-encoding",
    "trailer",
    "connection",
    "keep-alive",
    "etag",
    "last-modified",
    "content-md5",
    "digest",
    "content-digest",
    "repr-digest",
    "accept-ranges",
    "content-encoding",
];

/// What a union's head says of itself.
pub(super) struct Own<'a> {
    pub(super) list: &'a List,
    pub(super) tried: &'a [(SiteName, String)],
    /// Of the next page, where the head tells it.
    pub(super) next: Option<String>,
    /// Headers with a number that is summed, and the sum.
    pub(super) totals: Vec<(&'a str, Option<i64>)>,
}

/// The value of `X-Cheops-Sites`.
pub(super) fn sites(tried: &[(SiteName, String)]) -> String {
    let each: Vec<String> = tried.iter().map(|(site, outcome)| format!("{}={outcome}", value(site.as_str()))).collect();
    each.join(", ")
}

/// A head with more fields at its end.
pub(super) fn with(head: &[u8], fields: &str) -> Bytes {
    let end = head.len().saturating_sub(2);
    let mut out = BytesMut::with_capacity(head.len() + fields.len());
    out.put_slice(head.get(..end).unwrap_or_default());
    out.put_slice(fields.as_bytes());
    out.put_slice(b"\r\n");
    out.freeze()
}

/// The first site's head, for a body of which the length is not known yet, with the fields that are the union's own
/// instead of the site's.
pub(super) fn head(head: &AnswerHead, asked: &RequestHead, marks: &Marks<'_>, own: &Own<'_>) -> Bytes {
    let Marks { request, restored, .. } = marks;
    let mut fields = String::new();
    let mut taken = |field: &&Field| {
        let name = head.name(field);
        if name.eq_ignore_ascii_case("link") {
            let others = link::without_pages(head.value(field));
            if !others.is_empty() {
                fields += &format!("{name}: {others}\r\n");
            }
            return true;
        }
        let is = |taken: &&str| name.eq_ignore_ascii_case(taken);
        TAKEN.iter().any(&is) || own.list.header().iter().any(is) || own.totals.iter().any(|one| is(&one.0))
    };
    let cut = head.fields().iter().filter(|field| taken(field)).map(|field| (field.line_range(), String::new()));
    let mut edits: Vec<_> = cut.collect();
    let apart = |at: usize| !edits.iter().any(|(range, _)| range.contains(&at));
    let restored: Vec<_> = given_back(head, restored).into_iter().filter(|(range, _)| apart(range.start)).collect();
    edits.extend(restored);
    match own.list.header().zip(own.next.as_deref()) {
        Some((name, url)) if name.eq_ignore_ascii_case("link") => {
            fields += &format!("{name}: <{url}>; rel=\"next\"\r\n")
        }
        Some((name, next)) => fields += &format!("{name}: {next}\r\n"),
        None => {}
    }
    let totals = own.totals.iter().filter_map(|(name, sum)| Some(format!("{name}: {}\r\n", (*sum)?)));
    fields.extend(totals);
    let mut raw = BytesMut::from(head.edited(edits).as_ref());
    // A site that answers in 1.0 doesn't say what the agent speaks.
    if raw.starts_with(b"HTTP/1.0")
        && let Some(version) = raw.get_mut(..8)
    {
        version.copy_from_slice(b"HTTP/1.1");
    }
    let framing = match asked.version() {
        Version::Http10 => "Connection: close\r\n",
        Version::Http11 if asked.persists() => "Transfer-Encoding: chunked\r\n",
        Version::Http11 => "Transfer-Encoding: chunked\r\nConnection: close\r\n",
    };
    fields += &format!("{framing}X-Cheops-Request: {request}\r\nX-Cheops-Sites: {}\r\n", sites(own.tried));
    with(&raw, &fields)
}

/// The way to the client.
pub(super) struct Out<'a, C> {
    client: &'a mut Wire<C>,
    chunked: bool,
    head_only: bool,
    head: Bytes,
    piece: BytesMut,
    /// Of the body.
    pub(super) bytes: u64,
}

impl<'a, C: Stream> Out<'a, C> {
    pub(super) fn new(client: &'a mut Wire<C>, asked: &RequestHead) -> Self {
        Self {
            client,
            chunked: asked.version() == Version::Http11,
            head_only: asked.method() == "HEAD",
            head: Bytes::new(),
            piece: BytesMut::new(),
            bytes: 0,
        }
    }

    pub(super) fn head(&mut self, head: Bytes) {
        self.head = head;
    }

    pub(super) async fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.piece.put_slice(bytes);
        if self.piece.len() >= PIECE { self.send("").await } else { Ok(()) }
    }

    pub(super) async fn end(&mut self) -> io::Result<()> {
        self.send("0\r\n\r\n").await
    }

    async fn send(&mut self, end: &str) -> io::Result<()> {
        let mut out = BytesMut::from(std::mem::take(&mut self.head).as_ref());
        self.bytes += self.piece.len() as u64;
        if !self.piece.is_empty() {
            if self.chunked {
                out.put_slice(format!("{:x}\r\n", self.piece.len()).as_bytes());
            }
            out.extend_from_slice(&self.piece);
            if self.chunked {
                out.put_slice(b"\r\n");
            }
        }
        self.piece.clear();
        if self.chunked && !self.head_only {
            out.put_slice(end.as_bytes());
        }
        self.client.send(out.freeze()).await
    }
}
