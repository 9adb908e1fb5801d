//! Sharing: one exchange with the instance of the service at one site.

use super::exchange::{
    Answering, Bounds, Cause, ExchangeError, Finished, Judged, Kept, Next, Reached, Sending, Side, exchange,
};
use super::far::{Far, blame};
use super::ids;
use super::marks::{Tried, marked};
use super::passthrough::tunnel;
use super::reach;
use super::scoped::{RunError, Scoped};
use super::shared::Shared;
use super::stream::Stream;
use super::tokens;
use super::wire::Wire;
use crate::http::{AnswerHead, BodyLength, Code, Problem};
use crate::metadata::{Endpoint, Snapshot};
use crate::observe::{Limit, Passthrough};
use crate::peer::{Envelope, Outcome, Refusal};
use crate::plan::{self, Destination, Plan, Route, ScopeSource};
use crate::workflow::Caller;

/// Why one site did not serve the request.
pub(super) enum Failed {
    /// Nothing can have happened there. Another site may be tried.
    NotSent(Refusal),
    /// It answered that another site shall be tried; what it answered was kept from the client.
    Declined(Box<Declined>),
    Final(RunError),
}

/// An answer that the client has not seen.
pub(super) struct Declined {
    pub(super) head: AnswerHead,
    pub(super) far: Wire<Far>,
}

/// Whether an answer stands. Looks at its status only.
pub(super) type Declines<'a> = &'a (dyn Fn(u16) -> bool + Sync);

/// One site's turn.
pub(super) struct Turn<'a> {
    pub(super) to: &'a Destination,
    /// The sites that had their turn before.
    pub(super) tried: &'a [Tried],
    /// Another has its turn after this one.
    pub(super) more: bool,
    pub(super) declines: Declines<'a>,
}

/// Runs the exchange with one site, tunnels to their end.
pub(super) async fn attempt<C>(
    shared: &Shared,
    client: &mut Wire<C>,
    scoped: &Scoped<'_>,
    turn: &Turn<'_>,
    kept: Option<&mut Kept>,
) -> Result<Finished, Failed>
where
    C: Stream,
{
    let far = Box::pin(open(shared, scoped, turn.to, turn.more)).await.map_err(Failed::NotSent)?;
    let mut far = Wire::new(far);
    let (config, snapshot) = (shared.config.load(), shared.snapshot.load_full());
    let service = snapshot.service(scoped.plan.service.as_str());
    let (mut declined, mut refused) = (None, None);
    let mut judge = |head: &AnswerHead| {
        if let Some(service) = service {
            tokens::issued(shared, service, scoped.request, head, &turn.to.site);
            refused =
                turn.to.own.then(|| tokens::why_refused(shared, service, scoped.request, head.status())).flatten();
        }
        let declines = turn.more && (turn.declines)(head.status());
        if turn.to.own && !declines {
            let kept = scoped.kept;
            refused = refused.take().or_else(|| kept?.why_failed(shared, head.status()));
        }
        if refused.is_some() {
            return Judged::Refuse;
        }
        let marked = marked(head, scoped.plan, turn.to, &scoped.marks(turn.tried));
        match declines {
            true => {
                declined = Some(head.clone());
                Judged::Decline(marked)
            }
            false => Judged::Instead(marked),
        }
    };
    let begin_within = (!turn.to.own).then_some(config.timeouts.exchange);
    let sending =
        Sending { request: scoped.request, head: plan::forward::request(scoped.request, scoped.plan, turn.to), kept };
    let answering = Answering { judge: Some(&mut judge), begin_within, closing: Some(&shared.closing) };
    let bounds = Bounds::new(&config.limits, &config.timeouts);
    match exchange(client, &mut far, sending, answering, bounds).await {
        Ok(finished) => Ok(follow(shared, client, &mut far, scoped, finished).await),
        Err(ExchangeError { cause: Cause::Declined(_), .. }) if declined.is_some() => match declined {
            Some(head) => Err(Failed::Declined(Box::new(Declined { head, far }))),
            None => Err(Failed::NotSent(Refusal::not_sent(Code::Internal, "a declined answer is gone"))),
        },
        Err(error) => Err(match refused {
            Some(refusal) if matches!(error.cause, Cause::Declined(_)) => {
                let body_taken = error.body_taken || scoped.request.length() == BodyLength::None;
                Failed::Final(RunError::Refused { problem: tokens::problem_of(shared, &refusal), body_taken })
            }
            _ => failed(shared, &mut far, scoped, turn, error).await,
        }),
    }
}

/// After an exchange: a tunnel is run to its end, and nothing follows it.
pub(super) async fn follow<C>(
    shared: &Shared,
    client: &mut Wire<C>,
    far: &mut Wire<Far>,
    scoped: &Scoped<'_>,
    finished: Finished,
) -> Finished
where
    C: Stream,
{
    if finished.next != Next::Tunnel {
        return finished;
    }
    let reason = if scoped.request.method() == "CONNECT" { Passthrough::Connect } else { Passthrough::Upgrade };
    let _open = shared.observer.passthrough(reason);
    let half_closed = shared.config.load().timeouts.half_closed;
    let passed = Box::pin(tunnel(client, far, half_closed)).await;
    if passed.still {
        shared.observer.limit(Limit::HalfClosed);
    }
    Finished {
        bytes_in: finished.bytes_in + passed.from_client,
        bytes_out: finished.bytes_out + passed.to_client,
        next: Next::End,
        ..finished
    }
}

async fn failed(
    shared: &Shared,
    far: &mut Wire<Far>,
    scoped: &Scoped<'_>,
    turn: &Turn<'_>,
    error: ExchangeError,
) -> Failed {
    if error.side == Side::Client || error.reached == Reached::AnswerBegun {
        return Failed::Final(RunError::Exchange(error));
    }
    let refusal = blame(far, &error, &turn.to.site).await;
    let limit = if refusal.code == Code::PeerBusy { Some(Limit::PeerExchanges) } else { error.limit() };
    if let Some(limit) = limit {
        shared.observer.limit(limit);
    }
    match refusal.outcome {
        Outcome::NotSent => Failed::NotSent(refusal),
        Outcome::Sent | Outcome::Answered => {
            let body_taken = error.body_taken || scoped.request.length() == BodyLength::None;
            let problem = match limit {
                Some(limit) => Problem::at_limit(refusal.code, refusal.detail, limit),
                None => Problem::new(refusal.code, refusal.detail),
            };
            Failed::Final(RunError::Refused { problem, body_taken })
        }
    }
}

/// The way to one site's instance. `confirmed`: the site's agent has reached the service.
///
/// # Errors
/// Nothing was sent.
pub(super) async fn open(
    shared: &Shared,
    scoped: &Scoped<'_>,
    to: &Destination,
    confirmed: bool,
) -> Result<Far, Refusal> {
    let snapshot = shared.snapshot.load_full();
    let endpoint = endpoint(&snapshot, scoped.plan, to);
    let envelope = envelope(shared, scoped, to);
    if to.own {
        let endpoint = endpoint.ok_or_else(|| gone(scoped.plan, to))?;
        return reach::own(shared, &snapshot, endpoint, scoped.client, &envelope).await;
    }
    let site = snapshot.sites.get(&to.site).ok_or_else(|| gone(scoped.plan, to))?;
    reach::peer(shared, &reach::ordered(shared, site, endpoint), &envelope, confirmed).await
}

/// The plan was made a moment ago, from a snapshot that was replaced meanwhile.
fn gone(plan: &Plan, to: &Destination) -> Refusal {
    Refusal::not_sent(Code::ServiceUnreachable, format!("{}: {} is no longer known there", to.site, plan.service))
}

fn endpoint<'a>(snapshot: &'a Snapshot, plan: &Plan, to: &Destination) -> Option<&'a Endpoint> {
    let endpoints = snapshot.service(plan.service.as_str())?.endpoints.get(&to.site)?;
    endpoints.iter().find(|endpoint| endpoint.authority == to.authority && endpoint.prefix == to.prefix)
}

fn envelope(shared: &Shared, scoped: &Scoped<'_>, to: &Destination) -> Envelope {
    let scope = scoped.plan.scope.as_ref();
    Envelope {
        site: to.site.clone(),
        service: scoped.plan.service.clone(),
        endpoint: format!("{}{}", to.authority, to.prefix),
        scope: scope.map(|scope| scope.completed.clone()),
        own_scope: scope.is_some_and(|scope| scope.source != ScopeSource::Workflow),
        entry: scoped.plan.entry.clone(),
        hops: vec![reach::here(shared)],
        request: scoped.id.to_owned(),
        links: ids::for_envelope(scoped.links),
        placed: ids::placed(scoped.plan, Some(&to.site).filter(|_| !matches!(scoped.plan.route, Route::Gather(_)))),
        deadline: Some(shared.config.load().timeouts.exchange),
        client: Some(scoped.client.get()),
        connection: Some(scoped.connection),
        home: scoped.told.home.clone(),
        decided: false,
        brief: scoped.told.brief,
        caller: scoped.told.caller.as_ref().map(Caller::to_string),
    }
}
