//! Where a scoped request enters: it gets the ids that its service's profile wants set, so that the calls below it are
//! found although its client said none, or one that the application would not hand on. Peers set none: it is in the head
//! that they are sent.

use std::ops::Range;

use bytes::Bytes;

use crate::act::shared::Shared;
use crate::http::MAX_FIELDS;
use crate::http::{Code, FramingError, Problem, RequestHead};
use crate::plan::{Plan, ScopeSource};
use crate::profile::{Correlation, Profile};
use crate::workflow::{Links, links, template};

/// Headers with what the client itself said in them, for the answers that have these headers.
pub type Restored = Vec<(String, String)>;

/// A scoped request as it goes on.
#[derive(Debug)]
pub(in crate::act) struct Entered {
    /// Its head without its scope, with its ids.
    pub(in crate::act) head: Bytes,
    /// The ids by which calls below it are linked to it.
    pub(in crate::act) links: Links,
    pub(in crate::act) restored: Restored,
}

/// Gives a scoped request its ids. `cut` is its head without its scope.
///
/// # Errors
/// When it is too large with them.
pub(in crate::act) fn enter(
    shared: &Shared,
    request: &RequestHead,
    cut: Bytes,
    plan: &Plan,
) -> Result<Entered, Problem> {
    let (snapshot, profiles) = (shared.snapshot.load(), shared.profiles.load());
    let service = snapshot.service(plan.service.as_str());
    let profile = service.map(|service| profiles.get_or_default(&service.profile));
    let profile = profile.map(|profile| &**profile);
    let correlation = profile.map(Profile::correlation).unwrap_or_default();
    let links = |head: &RequestHead| links::of(head, super::named(head, profile));
    // Within a workflow the caller is a service, which has its own use for what it is answered.
    let is_client = plan.scope.as_ref().is_some_and(|scope| scope.source != ScopeSource::Workflow);
    let restored = if is_client { restored(request, correlation) } else { Restored::new() };
    if correlation.iter().all(|correlation| correlation.set.is_none()) {
        return Ok(Entered { links: links(request), head: cut, restored });
    }
    let config = shared.config.load();
    let whole = RequestHead::parse(cut, MAX_FIELDS);
    let whole = whole.map_err(|error| Problem::new(Code::Internal, format!("the head without its scope: {error}")))?;
    let edits = edits(&whole, correlation);
    if edits.is_empty() {
        return Ok(Entered { links: links(&whole), head: whole.raw().clone(), restored });
    }
    let head = whole.edited(edits);
    let set = match head.len() > config.limits.head_bytes {
        true => Err(FramingError::TooLong),
        false => RequestHead::parse(head, config.limits.headers),
    };
    let set = set.map_err(|error| {
        if let Some(limit) = error.limit() {
            shared.observer.limit(limit);
        }
        error.of_request()
    })?;
    Ok(Entered { links: links(&set), head: set.raw().clone(), restored })
}

/// What the client said in headers that it shall find again. A value that isn't text is not one of an id.
fn restored(request: &RequestHead, correlation: &[Correlation]) -> Restored {
    let wanted = correlation.iter().filter(|correlation| correlation.restore);
    wanted
        .filter_map(|correlation| {
            let said = std::str::from_utf8(request.first(&correlation.header)?).ok()?;
            Some((correlation.header.clone(), said.to_owned()))
        })
        .collect()
}

/// What of a head has to be otherwise for each id to be there once, in its form.
fn edits(head: &RequestHead, correlation: &[Correlation]) -> Vec<(Range<usize>, String)> {
    let end = head.raw().len().saturating_sub(2);
    let mut edits = Vec::new();
    for Correlation { header, set, .. } in correlation {
        let Some(template) = set else { continue };
        let mut fields = head.fields().iter().filter(|field| alike(head.name(field), header));
        let (first, more) = (fields.next(), fields.next().is_some());
        let is_good =
            |field| head.name(field).eq_ignore_ascii_case(header) && template::fits(template, head.value(field));
        if !more && first.is_some_and(is_good) {
            continue;
        }
        let taken = head.fields().iter().filter(|field| alike(head.name(field), header));
        edits.extend(taken.map(|field| (field.line_range(), String::new())));
        edits.push((end..end, format!("{header}: {}\r\n", template::fresh(template))));
    }
    edits
}

/// Whether an application may take one name for the other: CGI and WSGI don't tell `_` from `-`.
fn alike(name: &str, header: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == header.len() && name.bytes().zip(header.bytes()).all(|(one, other)| plain(one) == plain(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "req-0a1b2c3d-0000-4111-8222-0123456789ab";

    fn head(fields: &str) -> RequestHead {
        let text = format!("POST /a HTTP/1.1\r\nHost: x\r\n{fields}End: 1\r\n\r\n");
        RequestHead::parse(text.into(), 100).expect("well-formed")
    }

    fn correlation(set: Option<&str>, restore: bool) -> Vec<Correlation> {
        vec![Correlation { header: "X-Req".to_owned(), set: set.map(str::to_owned), restore }]
    }

    /// The head as it goes on, and what was set.
    fn set(fields: &str) -> (String, String) {
        let (head, correlation) = (head(fields), correlation(Some("req-{uuid}"), false));
        let set = head.edited(edits(&head, &correlation));
        let set = RequestHead::parse(set, 100).expect("well-formed");
        let id = String::from_utf8_lossy(set.first("X-Req").expect("set")).into_owned();
        (String::from_utf8_lossy(set.raw()).into_owned(), id)
    }

    #[test]
    fn an_id_that_fits_stays_as_it_is() {
        let (whole, id) = set(&format!("x-REQ:  {GOOD} \r\n"));
        assert_eq!(
            (whole, id.as_str()),
            (String::from_utf8_lossy(head(&format!("x-REQ:  {GOOD} \r\n")).raw()).into(), GOOD)
        );
    }

    #[test]
    fn an_id_is_added_behind_everything_else() {
        let (whole, id) = set("");
        assert!(template::fits("req-{uuid}", id.as_bytes()));
        assert_eq!(whole, format!("POST /a HTTP/1.1\r\nHost: x\r\nEnd: 1\r\nX-Req: {id}\r\n\r\n"));
    }

    #[test]
    fn ids_that_do_not_fit_make_room_for_one_that_does() {
        for fields in [
            "X-Req: 1\r\n".to_owned(),
            "X-Req:\r\n".to_owned(),
            format!("X-Req: {GOOD}\r\nx-req: {GOOD}\r\n"),
            format!("X_Req: {GOOD}\r\n"),
            format!("X-Req: {GOOD}\r\nX_REQ: 2\r\n"),
        ] {
            let (whole, id) = set(&fields);
            assert_eq!(whole, format!("POST /a HTTP/1.1\r\nHost: x\r\nEnd: 1\r\nX-Req: {id}\r\n\r\n"), "{fields}");
            assert!(id != GOOD && template::fits("req-{uuid}", id.as_bytes()), "{fields}");
        }
    }

    #[test]
    fn only_what_is_wanted_is_restored_or_set() {
        let said = head("X-Req: mine\r\nX-Req: other\r\n");
        assert!(edits(&said, &correlation(None, true)).is_empty());
        assert_eq!(restored(&said, &correlation(None, true)), [("X-Req".to_owned(), "mine".to_owned())]);
        assert_eq!(restored(&said, &correlation(None, false)), []);
        assert_eq!(restored(&head(""), &correlation(None, true)), []);
    }
}
