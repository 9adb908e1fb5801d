//! Heads fitted to the endpoint that serves: another site's endpoint may have another path prefix and, where the
//! configuration says so, wants its own `Host`. Nothing else of a head is touched (AMENDMENTS 23).

use std::ops::Range;

use bytes::Bytes;

use crate::http::head::{AnswerHead, RequestHead};

use super::model::{Destination, Plan};
use super::target;

/// Bytes of a head that are replaced, in order and apart.
pub type Edits = Vec<(Range<usize>, String)>;

/// The request's head as `to` shall see it: its own prefix in the target, and its own authority in `Host` and in an
/// absolute target where the service wants that; without the credentials that don't leave their site. `head` is the one
/// without its scope.
pub fn request(head: &RequestHead, plan: &Plan, to: &Destination) -> Bytes {
    let mut edits = Edits::new();
    let start = head.target_range().start;
    if let Some(path) = target::path_range(head.target()).filter(|_| head.target() != "*") {
        let absolute = path.start > 0;
        if absolute && plan.own_host {
            let authority = head.target().find("://").map_or(0, |at| at + 3);
            edits.push((start + authority..start + path.start, to.authority.clone()));
        }
        if let Some(end) = swapped(head.target().get(path.clone()).unwrap_or_default(), &plan.prefix, &to.prefix) {
            let first = start + path.start;
            let filled = if to.prefix.is_empty() && end == path.len() { "/" } else { &to.prefix };
            edits.push((first..first + end, filled.to_owned()));
        }
    }
    if !to.own {
        let withheld = |name: &str| plan.withheld.iter().any(|withheld| withheld.eq_ignore_ascii_case(name));
        let fields = head.fields().iter().filter(|field| withheld(head.name(field)));
        edits.extend(fields.map(|field| (field.line_range(), String::new())));
    }
    if plan.own_host {
        edits.extend(head.named("host").map(|field| (field.value_range(), to.authority.clone())));
    }
    head.edited(edits)
}

/// The answer's head as the client shall see it: a `Location` or `Content-Location` at the endpoint that served (RFC 9110,
/// 10.2.2 and 8.7) becomes one at the endpoint that the client addressed, and `restored` headers say what the client said.
pub fn answer(head: &AnswerHead, plan: &Plan, from: &Destination, restored: &[(String, String)]) -> Bytes {
    let mut edits = given_back(head, restored);
    for field in head.fields() {
        let name = head.name(field);
        if name.eq_ignore_ascii_case("location") || name.eq_ignore_ascii_case("content-location") {
            let value = std::str::from_utf8(head.value(field)).unwrap_or_default();
            if let Some((range, text)) = location(value, plan, from) {
                let start = field.value_range().start;
                edits.push((start + range.start..start + range.end, text));
            }
        }
    }
    head.edited(edits)
}

/// What has to be otherwise for the client to find in these headers of an answer what it said itself.
pub fn given_back(head: &AnswerHead, restored: &[(String, String)]) -> Edits {
    let of = |(name, value): &(String, String)| {
        head.named(name).map(|field| (field.value_range(), value.clone())).collect::<Edits>()
    };
    restored.iter().flat_map(of).collect()
}

/// What to replace in a location, if it is at the endpoint that served.
fn location(value: &str, plan: &Plan, from: &Destination) -> Option<(Range<usize>, String)> {
    let path = target::path_range(value)?;
    let text = value.get(path.clone())?;
    let (start, authority) = match value.find("://") {
        Some(at) if path.start > 0 => {
            if !value.get(at + 3..path.start)?.eq_ignore_ascii_case(&from.authority) {
                return None;
            }
            (at + 3, plan.authority.as_str())
        }
        _ if value == "*" || text.starts_with("//") => return None,
        _ => (path.start, ""),
    };
    target::behind(text, &from.prefix)?;
    let range = start..path.start + from.prefix.len();
    let new = format!("{authority}{}", plan.prefix);
    (value.get(range.clone()) != Some(new.as_str())).then_some((range, new))
}

/// How many bytes of the path are the prefix to replace; None when nothing changes.
fn swapped(path: &str, from: &str, to: &str) -> Option<usize> {
    (from != to && target::behind(path, from).is_some()).then_some(from.len())
}
