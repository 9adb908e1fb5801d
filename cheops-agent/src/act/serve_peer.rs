//! The other side of sharing: serves the exchanges that other agents ask for, at this site's exported services only.

use std::sync::Arc;
use std::time::Instant;

use super::exchange::{Answering, Bounds, ExchangeError, Finished, Next, Reached, Sending, Side, exchange};
use super::far::{Far, blame};
use super::ids;
use super::notes;
use super::passthrough::tunnel;
use super::reach;
use super::shared::Shared;
use super::wire::Wire;
use crate::address::ClientAddr;
use crate::http::framing::HeadEnd;
use crate::http::{Code, RequestHead};
use crate::metadata::{Endpoint, Service, Snapshot};
use crate::observe::{self, Limit, RequestEvent};
use crate::peer::{Call, Envelope, Outcome, Refusal, Serve, ServerStream};
use crate::plan::target;

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
        let ended = Box::pin(serve(&self.0, call, &mut seen)).await;
        if let Err(refusal) = &ended {
            tracing::info!(
                request = envelope.request, from = %site, service = %envelope.service,
                code = refusal.code.as_str(), detail = refusal.detail, "a peer's request was not served",
            );
        }
        tell(&self.0, &envelope, &seen, ended, began);
    }

    async fn note(&self, call: Call) {
        notes::keep(&self.0, call).await;
    }
}

/// What the tap shows of the request itself.
#[derive(Default)]
struct Seen {
    method: String,
    path: String,
}

/// Serves one exchange; `Ok(None)` if the peer gave it up.
async fn serve(shared: &Shared, call: Call, seen: &mut Seen) -> Result<Option<Finished>, Refusal> {
    let envelope = call.envelope.clone();
    let snapshot = shared.snapshot.load_full();
    let (far, endpoint, _kept) = match reached(shared, &snapshot, &call).await {
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
    let mut client = Wire::new(stream);
    let ended = tokio::select! {
        ended = exchanged(shared, &mut client, far, endpoint, &envelope, seen) => ended,
        () = cancelled => return Ok(None),
    };
    let told = match &ended {
        Ok(_) => client.stream.finish(),
        Err(refusal) => client.stream.fail(refusal),
    };
    match told {
        Ok(()) => ended.map(Some),
        Err(_) => Ok(None),
    }
}

/// The service, reached, and the request's ids, live before it is sent on.
async fn reached<'a>(
    shared: &Shared,
    snapshot: &'a Snapshot,
    call: &Call,
) -> Result<(Far, &'a Endpoint, Option<ids::Kept>), Refusal> {
    let endpoint = admit(shared, snapshot, call)?;
    let (onward, peer) = (onward(shared, &call.envelope), ClientAddr::new(call.address));
    let kept = ids::keep_for_peer(shared, &onward).await?;
    let far = reach::own(shared, snapshot, endpoint, peer, &onward).await?;
    Ok((far, endpoint, kept))
}

/// Whether the exchange may be served here, and the endpoint that serves it.
fn admit<'a>(shared: &Shared, snapshot: &'a Snapshot, call: &Call) -> Result<&'a Endpoint, Refusal> {
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
    endpoint(endpoints, envelope).ok_or_else(|| unknown_endpoint(service, envelope))
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

/// The envelope as it would go on to another host of this site.
fn onward(shared: &Shared, envelope: &Envelope) -> Envelope {
    let mut onward = envelope.clone();
    onward.hops.push(reach::here(shared));
    onward
}

async fn exchanged(
    shared: &Shared,
    client: &mut Wire<ServerStream>,
    far: Far,
    endpoint: &Endpoint,
    envelope: &Envelope,
    seen: &mut Seen,
) -> Result<Finished, Refusal> {
    let request = read_head(shared, client).await?;
    let range = target::path_range(request.target());
    let path = range.and_then(|range| request.target().get(range)).unwrap_or_default();
    (seen.method, seen.path) = (request.method().to_owned(), path.to_owned());
    if request.method() != "CONNECT" && request.target() != "*" && !target::fits(path, &endpoint.prefix) {
        let detail = format!("the path is outside of {}", endpoint.prefix);
        return Err(Refusal::not_sent(Code::UnmatchedTarget, detail));
    }
    let mut far = Wire::new(far);
    let config = shared.config.load_full();
    let sending = Sending { request: &request, head: request.raw().clone(), kept: None };
    let answering = Answering { judge: None, begin_within: envelope.deadline };
    let bounds = Bounds::new(&config.limits, &config.timeouts);
    match exchange(client, &mut far, sending, answering, bounds).await {
        Ok(finished) if finished.next == Next::Tunnel => {
            // However it ends: both ends have seen what there was.
            let passed = Box::pin(tunnel(client, &mut far, shared.pace.half_closed)).await;
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
        Err(error) => Err(blame(&mut far, &error, &config.site).await),
    }
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
        plan: "peer",
        sites: vec![envelope.site.to_string()],
        status: counted.status,
        code,
        bytes: counted.bytes_out,
        took: counted.took,
    });
}
