//! A check of a credential that its own issuer doesn't know: its home's issuer is asked.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::time::timeout;

use super::refused::Why;
use super::{Outcome, known, vouch};
use crate::act::asked;
use crate::act::exchange::Bounds;
use crate::act::far::Far;
use crate::act::reach;
use crate::act::shared::Shared;
use crate::act::wire::Wire;
use crate::address::ClientAddr;
use crate::config::Config;
use crate::http::reply::Manner;
use crate::http::{AnswerHead, Code, RequestHead};
use crate::metadata::snapshot::Addressed;
use crate::metadata::{Endpoint, Service, Snapshot};
use crate::names::SiteName;
use crate::peer::{Envelope, PeerError};
use crate::plan::target;
use crate::profile::model::Identified;
use crate::profile::{CredentialCheck, Profile};
use crate::workflow::{Mark, Tag};

/// Who is asked has so long to answer; the service that asks has users who wait.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer: a catalog of some hundreds of services.
const ANSWER: usize = 1 << 20;
/// Fields of the home's answer that are about its own message.
const OWN_MESSAGE: &[&str] =
    &["content-length", "transfer-encoding", "connection", "keep-alive", "trailer", "upgrade", "content-encoding"];

/// A check of a credential whose home is another site.
pub(in crate::act) struct Check<'a> {
    service: &'a Service,
    endpoint: &'a Endpoint,
    profile: &'a Profile,
    check: &'a CredentialCheck,
    head: &'a RequestHead,
    subject: &'a [u8],
    tag: Tag,
    home: SiteName,
}

/// What the profile says of checks, and the credential that the request has checked, if it is a check.
fn subject<'a>(
    profile: &'a Profile,
    endpoint: &Endpoint,
    head: &'a RequestHead,
) -> Option<(&'a CredentialCheck, &'a [u8])> {
    let check = profile.credentials()?.check.as_ref()?;
    let path = head.target().get(target::path_range(head.target())?)?;
    if target::behind(path, &endpoint.prefix)? != check.path || !check.methods.iter().any(|m| m == head.method()) {
        return None;
    }
    let mut subjects = head.named(&check.subject);
    let subject = subjects.next().map(|field| head.value(field)).filter(|subject| !subject.is_empty())?;
    subjects.next().is_none().then_some((check, subject))
}

/// The credential that a request has checked.
pub(super) fn subject_of<'a>(profile: &'a Profile, endpoint: &Endpoint, head: &'a RequestHead) -> Option<&'a [u8]> {
    subject(profile, endpoint, head).map(|(_, subject)| subject)
}

/// Whether a request has a credential checked. It is the asking service's own matter: it follows no workflow.
pub(in crate::act) fn is_check(found: &Addressed<'_>, profile: &Profile, head: &RequestHead) -> bool {
    subject_of(profile, found.endpoint, head).is_some()
}

/// What a home vouches for.
#[derive(Debug)]
pub(in crate::act) struct Vouched {
    head: AnswerHead,
    document: Vec<u8>,
}

impl<'a> Check<'a> {
    /// The check that a request is, if it is one of a credential that was issued elsewhere as far as is known.
    pub(in crate::act) fn of(
        shared: &Shared,
        found: &'a Addressed<'a>,
        profile: &'a Profile,
        head: &'a RequestHead,
    ) -> Option<Self> {
        let (service, endpoint) = (&**found.service, found.endpoint);
        let (check, subject) = subject(profile, endpoint, head)?;
        let mark = Mark::of(subject);
        let home = shared.tokens.homes.of(&mark).map(|home| home.site);
        match home.filter(|home| home != found.site) {
            Some(home) => {
                let tag = shared.tokens.homes.tag(&mark);
                Some(Self { service, endpoint, profile, check, head, subject, tag, home })
            }
            None => {
                shared.tokens.counters.count(Outcome::Unknown);
                None
            }
        }
    }

    /// The status by which the own issuer says that it doesn't know it.
    pub(in crate::act) fn unknown(&self) -> u16 {
        self.check.unknown
    }
}

/// What the home says of a credential that the own issuer doesn't know, as it is let in here.
///
/// # Errors
/// Why it isn't believed; kept for whoever asks for the reason.
pub(in crate::act) async fn vouched(shared: &Shared, check: &Check<'_>, client: ClientAddr) -> Result<Vouched, Why> {
    let config = shared.config.load_full();
    let (tokens, tag) = (&shared.tokens, check.tag);
    let why = if !config.identity.trust.includes(&check.home) {
        Why::Untrusted
    } else if let Some(why) = tokens.refused.standing(&tag, &check.home) {
        tokens.counters.count(why.outcome());
        return Err(why);
    } else {
        match believed(shared, &config, check, client).await {
            Ok(vouched) => {
                tokens.counters.count(Outcome::Accepted);
                tokens.refused.forget(&tag);
                return Ok(vouched);
            }
            Err(why) => why,
        }
    };
    tokens.counters.count(why.outcome());
    tracing::info!(home = %check.home, code = why.code().as_str(), why = why.text(&check.home), "a token of another site is not believed");
    tokens.refused.keep(tag, &check.home, why.clone());
    Err(why)
}

async fn believed(shared: &Shared, config: &Config, check: &Check<'_>, client: ClientAddr) -> Result<Vouched, Why> {
    let snapshot = shared.snapshot.load_full();
    let asked = timeout(PATIENCE, at_home(shared, &snapshot, config, check)).await;
    let late =
        |_| Why::Unreachable(format!("its {} did not answer within {} s", check.service.name, PATIENCE.as_secs()));
    let (head, content) = asked.map_err(late)??;
    let mut document: Value = serde_json::from_slice(&content)
        .map_err(|_| Why::Unreachable(format!("its {}'s answer can't be read", check.service.name)))?;
    let identified = vouch::admit(&mut document, check.check, &config.identity.foreign_roles)?;
    let looked_up = identified.iter().map(|(what, id)| nobody(shared, &snapshot, config, check, client, what, id));
    try_join_all(looked_up).await?;
    let document = serde_json::to_vec(&document).unwrap_or_default();
    Ok(Vouched { head, document })
}

/// Asks the home's issuer by the credential itself.
async fn at_home(
    shared: &Shared,
    snapshot: &Snapshot,
    config: &Config,
    check: &Check<'_>,
) -> Result<(AnswerHead, Vec<u8>), Why> {
    let unreachable = |why: String| Why::Unreachable(why);
    let (site, service) = (snapshot.sites.get(&check.home), &check.service.name);
    let endpoints = check.service.endpoints.get(&check.home);
    let endpoint = endpoints.and_then(|endpoints| endpoints.iter().find(|endpoint| !endpoint.https));
    let (Some(site), Some(endpoint)) = (site, endpoint) else {
        return Err(unreachable(format!("no {service} is known there")));
    };
    let envelope = envelope(shared, check, &check.home, endpoint);
    let far = reach::peer(shared, &reach::ordered(shared, site, Some(endpoint)), &envelope, false).await;
    let mut wire = Wire::new(far.map_err(|refusal| unreachable(refusal.detail))?);
    let answered = read(&mut wire, check.question(endpoint), config).await;
    let (head, content) = match answered {
        Ok(answered) => answered,
        Err(broken) => {
            let told = asked::last_word(&mut wire).await;
            return Err(unreachable(told.map_or(broken, |error| explained(error, service.as_str()))));
        }
    };
    match head.status() {
        200..=299 => Ok((head, content)),
        // It can't even speak for itself.
        401 => Err(Why::NotValid),
        status if status == check.check.unknown => Err(Why::NotValid),
        status => Err(unreachable(format!("its {service} answers {status}"))),
    }
}

fn explained(error: &PeerError, service: &str) -> String {
    match error {
        PeerError::Refused { refusal, .. } if refusal.code == Code::NotExported => {
            format!("it does not let other sites use its {service} (export = false)")
        }
        PeerError::Refused { refusal, .. } => refusal.detail.clone(),
        error => error.to_string(),
    }
}

async fn read(wire: &mut Wire<Far>, request: Bytes, config: &Config) -> Result<(AnswerHead, Vec<u8>), String> {
    let bounds = Bounds::new(&config.limits, &config.timeouts);
    let head = asked::head(wire, request, "GET", &bounds).await?;
    let whole = asked::body(&head, wire, ANSWER).await?;
    Ok((head, whole.content))
}

/// Makes sure that an id is nobody's here.
async fn nobody(
    shared: &Shared,
    snapshot: &Snapshot,
    config: &Config,
    check: &Check<'_>,
    client: ClientAddr,
    what: &Identified,
    id: &str,
) -> Result<(), Why> {
    let refused = |why: String| Err(Why::Refused(why));
    let (site, service) = (&config.site, &check.service.name);
    let Some(path) = known::path(what.path.get_ref(), id) else {
        return refused(format!("the id of its {} can't be looked up", what.what));
    };
    let ids = &shared.tokens.ids;
    let unanswered = |why: String| {
        Why::Unasked(format!("whether {site} knows the {} of this one can't be looked up: {why}", what.what))
    };
    let late = |_| unanswered("no answer".to_owned());
    // A user's first requests come many at once.
    let turn = timeout(PATIENCE, ids.turn(&path)).await.map_err(late)?;
    let known = match ids.known(&path) {
        Some(known) => known,
        None => {
            let status = timeout(PATIENCE, look_up(shared, snapshot, config, check, client, &path)).await;
            match status.map_err(late)? {
                Ok(status) if status == what.unknown => false,
                Ok(200..=299) => true,
                Ok(status) => {
                    return refused(format!(
                        "{service} of {site} answers {status} to the service that asks whether it knows the {}; that \
                         service's user needs a role there that may look up users and projects, such as admin",
                        what.what
                    ));
                }
                Err(why) => return Err(unanswered(why)),
            }
        }
    };
    ids.keep(&path, known);
    drop(turn);
    if known {
        return refused(format!("{site} has a {} with the same id itself", what.what));
    }
    Ok(())
}

/// The own issuer's status for a path, by the credential of the service that asks.
async fn look_up(
    shared: &Shared,
    snapshot: &Snapshot,
    config: &Config,
    check: &Check<'_>,
    client: ClientAddr,
    path: &str,
) -> Result<u16, String> {
    let (endpoint, name) = (check.endpoint, check.caller_header());
    let Some(caller) = check.head.first(name) else {
        return Err("the service that asks shows no credential".to_owned());
    };
    let mut request = BytesMut::with_capacity(256 + caller.len());
    request.put_slice(format!("GET {}{path} HTTP/1.1\r\nHost: {}\r\n", endpoint.prefix, endpoint.authority).as_bytes());
    field(&mut request, name, caller);
    request.put_slice(b"Accept: application/json\r\nConnection: close\r\n\r\n");
    let envelope = envelope(shared, check, &config.site, endpoint);
    let far = reach::own(shared, snapshot, endpoint, client, &envelope).await.map_err(|refusal| refusal.detail)?;
    let bounds = Bounds::new(&config.limits, &config.timeouts);
    Ok(asked::head(&mut Wire::new(far), request.freeze(), "GET", &bounds).await?.status())
}

fn field(request: &mut BytesMut, name: &str, value: &[u8]) {
    request.put_slice(name.as_bytes());
    request.put_slice(b": ");
    request.put_slice(value);
    request.put_slice(b"\r\n");
}

fn envelope(shared: &Shared, check: &Check<'_>, site: &SiteName, to: &Endpoint) -> Envelope {
    let endpoint = format!("{}{}", to.authority, to.prefix);
    Envelope::of_agent(site.clone(), check.service.name.clone(), endpoint, reach::here(shared), PATIENCE)
}

impl Check<'_> {
    fn caller_header(&self) -> &str {
        let usual = self.profile.credentials().map_or("", |credentials| credentials.header.as_str());
        self.check.caller.as_deref().unwrap_or(usual)
    }

    /// The check as the home gets it: nothing of the request goes there but its target and the credential in question.
    fn question(&self, to: &Endpoint) -> Bytes {
        let target = self.head.target();
        let range = target::path_range(target).unwrap_or(0..0);
        let behind = target::behind(target.get(range.clone()).unwrap_or_default(), &self.endpoint.prefix);
        let (path, query) = (behind.unwrap_or_default(), target.get(range.end..).unwrap_or_default());
        // Of HEAD's answer nothing could be judged.
        let method = self.check.methods.first().map_or("GET", String::as_str);
        let line = format!("{method} {}{path}{query} HTTP/1.1\r\nHost: {}\r\n", to.prefix, to.authority);
        let mut request = BytesMut::with_capacity(line.len() + 2 * self.subject.len() + 256);
        request.put_slice(line.as_bytes());
        request.put_slice(b"Accept: application/json\r\nAccept-Encoding: identity\r\n");
        field(&mut request, self.caller_header(), self.subject);
        field(&mut request, &self.check.subject, self.subject);
        request.put_slice(b"\r\n");
        request.freeze()
    }
}

impl Vouched {
    /// As an answer to the service that asks.
    pub(in crate::act) fn answer(&self, manner: Manner) -> Bytes {
        let own = |name: &str| OWN_MESSAGE.iter().any(|own| own.eq_ignore_ascii_case(name));
        let cut = self.head.fields().iter().filter(|field| own(self.head.name(field)));
        let head = self.head.without(&cut.map(|field| field.line_range()).collect::<Vec<_>>());
        let mut answer = BytesMut::with_capacity(head.len() + self.document.len() + 64);
        answer.put_slice(head.get(..head.len().saturating_sub(2)).unwrap_or_default());
        answer.put_slice(format!("Content-Length: {}\r\n{}\r\n", self.document.len(), manner.connection()).as_bytes());
        if !manner.head_only {
            answer.put_slice(&self.document);
        }
        answer.freeze()
    }

    /// The home's own status.
    pub(in crate::act) fn status(&self) -> u16 {
        self.head.status()
    }

    /// Bytes of its body.
    pub(in crate::act) fn len(&self) -> usize {
        self.document.len()
    }
}
