//! The other side of sharing: serves the exchanges that other agents ask for, at this site's exported services only.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::exchange::{
    Answering, Bounds, Cause, ExchangeError, Finished, Judged, Next, Reached, Sending, Side, exchange,
};
use super::far::{Far, blame};
use super::ids;
use super::notes;
use super::parked;
use super::passthrough::tunnel;
use super::reach;
use super::shared::Shared;
use super::tokens;
use super::wire::Wire;
use crate::address::ClientAddr;
use crate::http::framing::HeadEnd;
use crate::http::{AnswerHead, Code, RequestHead};
use crate::metadata::record::Standing;
use crate::metadata::{Endpoint, Service, Snapshot};
use crate::observe::{self, Limit, RequestEvent};
use crate::peer::{Call, Envelope, Outcome, Refusal, Serve, ServerStream};
use crate::plan::{OpKind, target};
use crate::workflow::Failure;

/// Sites and hosts that a request may have passed before it comes here.
const MAX_PASSED: usize = 4;

/// Serves peers.
pub struct ServePeer(pub Arc<Shared>);

impl Serve for ServePeer {
    async fn serve(&self, call: Call) {
        let began = Instant::now();
        let (envelope, site) = (call.envelope.clone(), call.from.site.clone());
        self.0.observer.peer_exchange(&site);
        let mut seen = Seen::default();
        let mut spare = None;
        let ended = Box::pin(serve(&self.0, call, &mut seen, &mut spare)).await;
        if let Err(refusal) = &ended {
            tracing::info!(
                request = envelope.request, from = %site, service = %envelope.service,
                code = refusal.code.as_str(), detail = refusal.detail, "a peer's request was not served",
            );
        }
        tell(&self.0, &envelope, &seen, ended, began);
        if let Some((key, stream)) = spare {
            self.0.parked.keep(key, stream, self.0.closing.begun()).await;
        }
    }

    async fn note(&self, call: Call) {
        notes::keep(&self.0, call).await;
    }

    async fn answer_ids(&self, call: Call) {
        ids::answer(&self.0, call).await;
    }
}

/// What the tap shows of the request itself.
#[derive(Default)]
struct Seen {
    method: String,
    path: String,
}

/// A service's connection that can take another request.
type Spare = Option<(parked::Key, TcpStream)>;

/// Serves one exchange; `Ok(None)` if the peer gave it up.
async fn serve(shared: &Shared, call: Call, seen: &mut Seen, spare: &mut Spare) -> Result<Option<Finished>, Refusal> {
    let snapshot = shared.snapshot.load_full();
    let Reachable { far, still, way, key } = match reached(shared, &snapshot, &call).await {
        Ok(reached) => reached,
        Err(refusal) => {
            if let Err(error) = call.refuse(&refusal) {
                tracing::debug!(%error, "the peer did not wait for the refusal");
            }
            return Err(refusal);
        }
    };
    let Ok((stream, _place)) = call.accept() else { return Ok(None) };
    let cancelled = stream.cancelled();
    let (mut client, mut far) = (Wire::new(stream), Wire::new(far));
    let ended = tokio::select! {
        ended = exchanged(&way, &mut client, &mut far, still, seen) => ended,
        () = cancelled => return Ok(None),
    };
    let done = match &ended {
        Ok(finished) => finished.status < 400,
        Err(refusal) => refusal.outcome != Outcome::NotSent,
    };
    if let (Some(kept), false) = (&way.kept, done) {
        kept.displace();
    }
    if let Some(kept) = &way.kept {
        let came = ended.as_ref().map(|finished| finished.status);
        kept.called(&way.onward.site, came.map_err(|refusal| Failure::new(refusal.code, &refusal.detail)));
    }
    let told = match &ended {
        Ok(_) => client.stream.finish(),
        Err(refusal) => client.stream.fail(refusal),
    };
    if let (Ok(Finished { next: Next::Request, .. }), Some(key), Far::Service(stream)) = (&ended, key, far.stream)
        && far.pending.is_empty()
    {
        *spare = Some((key, stream));
    }
    match told {
        Ok(()) => ended.map(Some),
        Err(_) => Ok(None),
    }
}

/// What an exchange needs before it is taken on.
struct Reachable<'a> {
    far: Far,
    /// Whether `far` was used before, and waited for this client connection.
    still: bool,
    way: Way<'a>,
    /// Under which the service's connection waits for the next request.
    key: Option<parked::Key>,
}

/// How the service is reached.
struct Way<'a> {
    shared: &'a Shared,
    snapshot: &'a Snapshot,
    service: &'a Service,
    endpoint: &'a Endpoint,
    peer: ClientAddr,
    /// The envelope as it would go on to another host of this site.
    onward: Envelope,
    /// The request's ids, live before it is sent on.
    kept: Option<ids::Kept>,
}

impl Way<'_> {
    async fn dialled(&self) -> Result<Far, Refusal> {
        reach::own(self.shared, self.snapshot, self.endpoint, self.peer, &self.onward).await
    }
}

/// The service, reached anew or still.
async fn reached<'a>(shared: &'a Shared, snapshot: &'a Snapshot, call: &Call) -> Result<Reachable<'a>, Refusal> {
    let (service, endpoint) = admit(shared, snapshot, call)?;
    let mut onward = call.envelope.clone();
    onward.hops.push(reach::here(shared));
    call.envelope.home.iter().for_each(|home| shared.tokens.homes.hear(home));
    let kept = ids::keep_for_peer(shared, &onward).await?;
    let way = Way { shared, snapshot, service, endpoint, peer: ClientAddr::new(call.address), onward, kept };
    let key = parked::Key::of(call, endpoint);
    let waiting = key.as_ref().and_then(|key| shared.parked.take(key));
    let still = waiting.is_some();
    let far = match waiting {
        Some(stream) => Far::Service(stream),
        None => way.dialled().await?,
    };
    Ok(Reachable { far, still, way, key })
}

/// Whether the exchange may be served here, and the service and endpoint that serve it.
fn admit<'a>(shared: &Shared, snapshot: &'a Snapshot, call: &Call) -> Result<(&'a Service, &'a Endpoint), Refusal> {
    let (envelope, here) = (&call.envelope, reach::here(shared));
    if envelope.has_passed(&here.site, &here.host) || envelope.hops.len() > MAX_PASSED {
        let passed: Vec<_> = envelope.hops.iter().map(|hop| format!("{}/{}", hop.site, hop.host)).collect();
        let detail = format!("it came back to {}/{} after {}", here.site, here.host, passed.join(", "));
        return Err(Refusal::not_sent(Code::Loop, detail));
    }
    let service = snapshot.service(envelope.service.as_str());
    let offered = service.filter(|service| service.export || call.from.site == here.site);
    let Some((service, endpoints)) = offered.and_then(|service| Some((service, service.endpoints.get(&here.site)?)))
    else {
        // A service that is not offered looks like one that isn't there.
        let detail = format!("{} does not offer {} to its peers", here.site, envelope.service);
        return Err(Refusal::not_sent(Code::NotExported, detail));
    };
    let endpoint = endpoint(endpoints, envelope).ok_or_else(|| unknown_endpoint(service, envelope))?;
    Ok((service, endpoint))
}

/// The endpoint for which the peer made the head; where the peer knows it by another name, any with the same prefix,
/// since the prefix is what the head's target begins with.
fn endpoint<'a>(endpoints: &'a [Endpoint], envelope: &Envelope) -> Option<&'a Endpoint> {
    let named = |endpoint: &&Endpoint| {
        envelope.endpoint.strip_prefix(endpoint.authority.as_str()) == Some(endpoint.prefix.as_str())
    };
    let prefix = envelope.endpoint.find('/').and_then(|at| envelope.endpoint.get(at..)).unwrap_or_default();
    let fits = |endpoint: &&Endpoint| !endpoint.https && endpoint.prefix == prefix;
    endpoints.iter().find(named).or_else(|| endpoints.iter().find(fits))
}

fn unknown_endpoint(service: &Service, envelope: &Envelope) -> Refusal {
    let detail = format!(
        "{} has no endpoint like {} here; the two sites' configurations differ",
        service.name, envelope.endpoint
    );
    Refusal::not_sent(Code::UnmatchedTarget, detail)
}

/// `still`: the service's connection was used before, so the service may be closing it just now. What must not run twice
/// isn't sent there; what may is sent again on a new one where no answer came (RFC 9110, 9.2.2).
async fn exchanged(
    way: &Way<'_>,
    client: &mut Wire<ServerStream>,
    far: &mut Wire<Far>,
    still: bool,
    seen: &mut Seen,
) -> Result<Finished, Refusal> {
    let request = read_head(way.shared, client).await?;
    let range = target::path_range(request.target());
    let path = range.and_then(|range| request.target().get(range)).unwrap_or_default();
    (seen.method, seen.path) = (request.method().to_owned(), path.to_owned());
    if request.method() != "CONNECT" && request.target() != "*" && !target::fits(path, &way.endpoint.prefix) {
        let detail = format!("the path is outside of {}", way.endpoint.prefix);
        return Err(Refusal::not_sent(Code::UnmatchedTarget, detail));
    }
    spare_the_drained(way, request.method(), path)?;
    if still && !parked::may_carry(&request) {
        *far = Wire::new(way.dialled().await?);
    }
    let mut instead = None;
    let mut sent = send(way, client, far, &request, None, &mut instead).await;
    if still && parked::may_carry(&request) && sent.as_ref().is_err_and(parked::was_closing) {
        *far = Wire::new(way.dialled().await?);
        sent = send(way, client, far, &request, None, &mut instead).await;
    }
    if let (true, Some(Instead::OnceMore(head))) = (declined(&sent), &mut instead) {
        let head = std::mem::take(head);
        *far = Wire::new(way.dialled().await?);
        sent = send(way, client, far, &request, Some(head), &mut instead).await;
    }
    if let (true, Some(Instead::Refusal(refusal))) = (declined(&sent), instead) {
        return Err(refusal);
    }
    match sent {
        Ok(finished) if finished.next == Next::Tunnel => {
            // However it ends: both ends have seen what there was.
            let half_closed = way.shared.config.load().timeouts.half_closed;
            let passed = Box::pin(tunnel(client, far, half_closed)).await;
            match passed.broken {
                Some((Side::Service, error)) => {
                    Err(Refusal::sent(Code::OutcomeUnknown, format!("the service broke the tunnel off: {error}")))
                }
                _ => Ok(finished),
            }
        }
        Ok(finished) => Ok(finished),
        Err(ExchangeError { side: Side::Client, reached, cause, .. }) => {
            let outcome = if reached == Reached::Nothing { Outcome::NotSent } else { Outcome::Sent };
            Err(Refusal { outcome, code: Code::MalformedRequest, detail: cause.to_string() })
        }
        Err(error) => Err(blame(far, &error, &way.shared.config.load().site).await),
    }
}

/// Nothing new is created at a drained site for other sites, also where these don't know yet that it is.
fn spare_the_drained(way: &Way<'_>, method: &str, path: &str) -> Result<(), Refusal> {
    let own = way.snapshot.own_site().filter(|own| own.standing == Standing::Drained && own.name != way.onward.entry);
    let Some(own) = own else { return Ok(()) };
    let profiles = way.shared.profiles.load();
    let path = target::behind(path, &way.endpoint.prefix).unwrap_or(path);
    let matched = profiles.get_or_default(&way.service.profile).matching(way.service.kind.as_deref(), method, path);
    if matched.op != OpKind::Create {
        return Ok(());
    }
    let detail = format!("{} is drained: nothing new is created there for other sites; nothing was sent", own.name);
    Err(Refusal::not_sent(Code::SiteDrained, detail))
}

/// What is done instead of giving the peer the service's answer.
enum Instead {
    Refusal(Refusal),
    /// It is asked again with this head.
    OnceMore(Bytes),
}

fn declined(sent: &Result<Finished, ExchangeError>) -> bool {
    matches!(sent, Err(ExchangeError { cause: Cause::Declined(_), .. }))
}

/// `once_more`: the head with which the service is asked again.
async fn send(
    way: &Way<'_>,
    client: &mut Wire<ServerStream>,
    far: &mut Wire<Far>,
    request: &RequestHead,
    once_more: Option<Bytes>,
    instead: &mut Option<Instead>,
) -> Result<Finished, ExchangeError> {
    let config = way.shared.config.load_full();
    let again = once_more.is_some();
    let mut judge = |answer: &AnswerHead| {
        tokens::issued(way.shared, way.service, request, answer, &config.site);
        let status = answer.status();
        let refused = tokens::why_refused(way.shared, way.service, request, status)
            .or_else(|| way.kept.as_ref()?.why_failed(way.shared, status));
        *instead = match refused {
            None if status == tokens::UNAUTHORIZED && !again => {
                tokens::once_more(way.shared, way.service, way.endpoint, request).map(Instead::OnceMore)
            }
            refused => refused.map(Instead::Refusal),
        };
        if instead.is_some() { Judged::Refuse } else { Judged::AsItIs }
    };
    let sending = Sending { request, head: once_more.unwrap_or_else(|| request.raw().clone()), kept: None };
    let answering = Answering { judge: Some(&mut judge), begin_within: way.onward.deadline, closing: None };
    exchange(client, far, sending, answering, Bounds::new(&config.limits, &config.timeouts)).await
}

/// The request's head, as strictly as a client's.
async fn read_head(shared: &Shared, client: &mut Wire<ServerStream>) -> Result<RequestHead, Refusal> {
    let config = shared.config.load_full();
    let refused = |code, detail: String| Refusal::not_sent(code, detail);
    let mut end = HeadEnd::default();
    let read = async {
        loop {
            match end.find(&client.pending, config.limits.head_bytes) {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => {}
                Err(error) => return Err(refused(Code::MalformedRequest, error.to_string())),
            }
            match client.fill().await {
                Ok(1..) => {}
                Ok(0) => return Err(refused(Code::MalformedRequest, "the request's head is not whole".to_owned())),
                Err(error) => return Err(refused(Code::PeerUnreachable, error.to_string())),
            }
        }
    };
    let end = match tokio::time::timeout(config.timeouts.header_read, read).await {
        Ok(read) => read?,
        Err(_) => {
            shared.observer.limit(Limit::HeaderRead);
            return Err(refused(Code::RequestTimeout, "the request's head did not come in time".to_owned()));
        }
    };
    let raw = client.pending.split_to(end).freeze();
    RequestHead::parse(raw, config.limits.headers).map_err(|error| refused(Code::MalformedRequest, error.to_string()))
}

/// Counts and shows it.
fn tell(shared: &Shared, envelope: &Envelope, seen: &Seen, ended: Result<Option<Finished>, Refusal>, began: Instant) {
    let finished = ended.as_ref().ok().copied().flatten();
    let code = ended.as_ref().err().map(|refusal| refusal.code.as_str());
    let snapshot = shared.snapshot.load();
    // A name that a peer made up would be a label without bound.
    let service = snapshot.service(envelope.service.as_str()).map_or("-", |service| service.name.as_str());
    let counted = observe::Finished {
        service,
        scoped: true,
        plan: "peer",
        status: finished.map(|finished| finished.status),
        code,
        bytes_in: finished.map_or(0, |finished| finished.bytes_in),
        bytes_out: finished.map_or(0, |finished| finished.bytes_out),
        took: began.elapsed(),
    };
    shared.observer.finished(counted, || RequestEvent {
        id: envelope.request.clone(),
        client: envelope.client.map(|client| client.to_string()).unwrap_or_default(),
        uid: None,
        service: service.to_owned(),
        method: seen.method.clone(),
        path: seen.path.clone(),
        scope: envelope.scope.clone(),
        scope_source: None,
        link: None,
        plan: "peer",
        sites: vec![envelope.site.to_string()],
        status: counted.status,
        code,
        bytes: counted.bytes_out,
        took: counted.took,
    });
}
