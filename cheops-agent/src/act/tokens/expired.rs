//! Credentials that expire while services still work for their user. Such a service sends its own credential along, and
//! its issuer then counts the user's as it was; but a service's own never leaves its site, and the user's, expired, can't
//! speak for itself. So the home's agent keeps for a moment what came along with a request that went to another site,
//! in memory alone, and asks its issuer by that when the other site has the user's checked.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use time::OffsetDateTime;

use super::{Tokens, ask};
use crate::act::shared::Shared;
use crate::http::RequestHead;
use crate::metadata::{Endpoint, Service};
use crate::profile::Profile;
use crate::profile::model::Expired;
use crate::workflow::{Mark, Tag};

/// So long what came along counts.
const COUNTS: Duration = Duration::from_secs(60);
/// Credentials with something that came along, at most.
const MOST: usize = 1024;
/// So long a service may believe what its home still counts: as long as Keystone's middleware believes without asking.
const GRANTED: time::Duration = time::Duration::minutes(5);

/// What came along with credentials of this site's users.
#[derive(Default)]
pub(super) struct Alongside(Mutex<HashMap<Tag, (Bytes, Instant)>>);

impl Alongside {
    fn keep(&self, tag: Tag, own: &[u8]) {
        let now = Instant::now();
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= MOST {
            table.retain(|_, (_, since)| now.duration_since(*since) < COUNTS);
        }
        if table.len() < MOST || table.contains_key(&tag) {
            table.insert(tag, (Bytes::copy_from_slice(own), now));
        }
    }

    fn of(&self, tag: &Tag) -> Option<Bytes> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(tag).filter(|(_, since)| since.elapsed() < COUNTS).map(|(own, _)| own.clone())
    }
}

/// It says nothing to anybody who reads a log.
impl fmt::Debug for Alongside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alongside")
    }
}

/// A request with this credential, of this site, goes to another.
pub(super) fn leaves(tokens: &Tokens, profile: &Profile, head: &RequestHead, mark: &Mark) {
    let check = profile.credentials().and_then(|credentials| credentials.check.as_ref());
    let along = check.and_then(|check| check.expired.as_ref()).and_then(|expired| head.first(&expired.along));
    if let Some(own) = along.filter(|own| !own.is_empty()) {
        tokens.alongside.keep(tokens.homes.tag(mark), own);
    }
}

/// The head by which the issuer is asked once more, when a credential of which another site asks by itself can't speak
/// for itself, and a service's own came along with it a moment ago.
pub(in crate::act) fn once_more(
    shared: &Shared,
    service: &Service,
    endpoint: &Endpoint,
    head: &RequestHead,
) -> Option<Bytes> {
    let profiles = shared.profiles.load();
    let profile = profiles.get_or_default(&service.profile);
    let subject = ask::subject_of(profile, endpoint, head)?;
    let credentials = profile.credentials()?;
    let check = credentials.check.as_ref()?;
    let expired = check.expired.as_ref()?;
    let caller = head.named(check.caller.as_ref().unwrap_or(&credentials.header)).next()?;
    if head.value(caller) != subject {
        return None;
    }
    let own = shared.tokens.alongside.of(&shared.tokens.homes.tag(&Mark::of(subject)))?;
    let own = String::from_utf8(own.to_vec()).ok()?;
    let mut edits = vec![(caller.value_range(), own)];
    if !head.target().split(['?', '&']).skip(1).any(|parameter| parameter == expired.query) {
        let end = head.target_range().end;
        let sign = if head.target().contains('?') { '&' } else { '?' };
        edits.push((end..end, format!("{sign}{}", expired.query)));
    }
    Some(head.edited(edits))
}

/// What the home still counts although it has expired is given a short life here: who asks looks at the time itself.
pub(super) fn grant(document: &mut Value, expired: &Expired, now: OffsetDateTime) {
    let Some(until) = document.pointer_mut(expired.until.get_ref()) else { return };
    // RFC 3339 in UTC, as the home writes it: in the order of time.
    if until.as_str().is_some_and(|until| until.ends_with('Z') && until < text(now).as_str()) {
        *until = Value::from(text(now + GRANTED));
    }
}

fn text(time: OffsetDateTime) -> String {
    let (date, month) = (time.date(), u8::from(time.month()));
    let (hour, minute, second) = time.to_hms();
    format!("{:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.000000Z", date.year(), date.day())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workflow::Homes;

    fn expired() -> Expired {
        toml::from_str("along = 'X-Service-Token'\nquery = 'allow_expired=1'\nuntil = '/token/expires_at'")
            .expect("well-formed")
    }

    #[test]
    fn what_came_along_is_kept_and_bounded_and_not_shown() {
        let (homes, alongside) = (Homes::default(), Alongside::default());
        let tag = |number: usize| homes.tag(&Mark::of(number.to_string().as_bytes()));
        assert_eq!(alongside.of(&tag(0)), None);
        (0..MOST + 5).for_each(|number| alongside.keep(tag(number), format!("own-{number}").as_bytes()));
        assert_eq!(alongside.of(&tag(7)).as_deref(), Some(b"own-7".as_slice()));
        assert_eq!(alongside.of(&tag(MOST + 1)), None, "there is no room");
        alongside.keep(tag(7), b"fresh");
        assert_eq!(alongside.of(&tag(7)).as_deref(), Some(b"fresh".as_slice()));
        assert_eq!(format!("{alongside:?}"), "Alongside");
    }

    #[test]
    fn only_what_has_expired_gets_another_end() {
        let now = OffsetDateTime::from_unix_timestamp(1_900_000_000).expect("in range");
        for (until, then) in [
            ("2030-03-17T17:46:39.000000Z", "2030-03-17T17:51:40.000000Z"),
            ("2029-12-31T00:00:00.000000Z", "2030-03-17T17:51:40.000000Z"),
            ("2030-03-17T17:46:41.000000Z", "2030-03-17T17:46:41.000000Z"),
            ("2031-01-01T00:00:00Z", "2031-01-01T00:00:00Z"),
            ("2020-01-01T00:00:00+02:00", "2020-01-01T00:00:00+02:00"),
        ] {
            let mut document = json!({ "token": { "expires_at": until } });
            grant(&mut document, &expired(), now);
            assert_eq!(document["token"]["expires_at"], then, "{until}");
        }
        let mut nothing = json!({ "token": {} });
        grant(&mut nothing, &expired(), now);
        assert_eq!(nothing, json!({ "token": {} }));
    }
}
