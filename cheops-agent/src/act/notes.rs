//! The agents of a site know each other's scoped requests before these are sent (AMENDMENTS 19): a service may hand its
//! work to another host, whose calls that host's agent takes. A note is a stream that is open as long as the request.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::ids;
use super::reach;
use super::shared::Shared;
use crate::http::Code;
use crate::metadata::Site;
use crate::peer::{Call, Client, Envelope, PeerError, PeerState, PeerStream, Refusal};

/// The request waits no longer for acknowledgements.
const PATIENCE: Duration = Duration::from_millis(100);
/// What acknowledges.
const NOTED: u8 = b'+';

/// Tells the site's other live agents of a request. They know it as long as these streams live, and some time after.
///
/// # Errors
/// One of them knows the ids under another scope. An agent that doesn't answer is no error: the request goes on.
pub(super) async fn tell(shared: &Shared, envelope: &Envelope) -> Result<Vec<PeerStream>, Refusal> {
    let (Some(peers), false) = (&shared.peers, envelope.links.is_empty()) else { return Ok(Vec::new()) };
    let others = others(shared);
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let told = join_all(others.iter().map(|other| tell_one(shared, peers, other, envelope))).await;
    Ok(told.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

async fn tell_one(
    shared: &Shared,
    peers: &Client,
    other: &Site,
    envelope: &Envelope,
) -> Result<Option<PeerStream>, Refusal> {
    let until = Instant::now() + PATIENCE;
    let Ok(mut stream) = peers.note(other, envelope, until).await else {
        shared.workflows.counters().count_missed();
        return Ok(None);
    };
    if matches!(timeout_at(until, stream.read_u8()).await, Ok(Ok(NOTED))) {
        return Ok(Some(stream));
    }
    match stream.failure() {
        Some(PeerError::Refused { refusal, .. }) if refusal.code == Code::RequestIdInUse => Err(refusal.clone()),
        // It may still come to know of it.
        _ => {
            shared.workflows.counters().count_missed();
            Ok(Some(stream))
        }
    }
}

/// The site's other agents, each as a site of its own; without those that are known to be dead.
pub(super) fn others(shared: &Shared) -> Vec<Site> {
    let (snapshot, config) = (shared.snapshot.load(), shared.config.load());
    let Some(own) = snapshot.own_site().filter(|own| !own.peers.is_empty()) else { return Vec::new() };
    let listen = config.peer.as_ref().map(|peer| peer.listen.to_string());
    let known = shared.liveness.peers();
    let dead = |address: &String| {
        let is = |(site, at, _): &&(_, String, _)| *site == own.name && at == address;
        known.iter().find(is).is_some_and(|(_, _, status)| status.state == PeerState::Dead)
    };
    let others = own.peers.iter().filter(|address| Some(*address) != listen.as_ref() && !dead(address));
    others.map(|address| Site { peers: vec![address.clone()], ..own.clone() }).collect()
}

/// Notes a request of another agent of the site until its stream ends.
pub(super) async fn keep(shared: &Shared, call: Call) {
    let held = match call.from.site == reach::here(shared).site {
        true => {
            call.envelope.home.iter().for_each(|home| shared.tokens.homes.hear(home));
            ids::note(shared, &call.envelope)
        }
        false => Err(Refusal::not_sent(Code::NotExported, "only agents of the same site tell of requests")),
    };
    // Either way the other agent may not wait: then it is told nothing, and the record ends with this.
    let done = match held {
        Err(refusal) => call.refuse(&refusal),
        Ok(_held) => match call.accept() {
            Err(error) => Err(error),
            Ok((mut stream, _place)) => {
                let cancelled = stream.cancelled();
                let noted = async {
                    stream.write_all(&[NOTED]).await?;
                    stream.read_u8().await.map(drop)
                };
                tokio::select! { noted = noted => noted, () = cancelled => Ok(()) }
            }
        },
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a note ended");
    }
}
