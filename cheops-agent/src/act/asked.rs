//! Requests that the agent asks for itself: sent whole, and their answers read here.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::exchange::Bounds;
use super::far::Far;
use super::stream::Stream;
use super::wire::Wire;
use crate::http::framing::HeadEnd;
use crate::http::{AnswerHead, Body};
use crate::peer::PeerError;

/// After an exchange with a peer broke off: how long its word on why is waited for.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Sends a request without a body; its final answer's head, the body of which is pending or still comes.
///
/// # Errors
/// What broke, for people.
pub(super) async fn head<S: Stream>(
    wire: &mut Wire<S>,
    request: Bytes,
    method: &str,
    bounds: &Bounds,
) -> Result<AnswerHead, String> {
    wire.send(request).await.map_err(|error| error.to_string())?;
    let mut end = HeadEnd::default();
    loop {
        match end.find(&wire.pending, bounds.head_bytes).map_err(|error| error.to_string())? {
            Some(at) => {
                let raw = wire.pending.split_to(at).freeze();
                let head = AnswerHead::parse(raw, bounds.fields, method).map_err(|error| error.to_string())?;
                if !head.is_interim() {
                    return Ok(head);
                }
                end = HeadEnd::default();
            }
            None => match wire.fill().await {
                Ok(1..) => {}
                Ok(0) => return Err("the connection was closed before an answer".to_owned()),
                Err(error) => return Err(error.to_string()),
            },
        }
    }
}

/// A body as it came, and its content without the framing.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub(super) raw: Vec<u8>,
    pub(super) content: Vec<u8>,
}

/// Reads an answer's body whole, at most so many bytes.
///
/// # Errors
/// What broke, for people.
pub(super) async fn body<S: Stream>(head: &AnswerHead, wire: &mut Wire<S>, most: usize) -> Result<Whole, String> {
    let mut body = Body::new(head.length());
    let mut whole = Whole::default();
    loop {
        let read = body.read(&wire.pending, &mut |piece| whole.content.extend_from_slice(piece));
        let of_body = wire.pending.split_to(read.map_err(|error| error.to_string())?);
        whole.raw.extend_from_slice(&of_body);
        if body.is_done() {
            return Ok(whole);
        }
        if whole.raw.len() > most {
            return Err(format!("the answer is longer than {most} bytes"));
        }
        match wire.fill().await {
            Ok(1..) => {}
            Ok(0) if body.ends_with_close() => return Ok(whole),
            Ok(0) => return Err("the connection was closed inside the answer".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// What the peer says of an exchange that broke off, if it was the peer.
pub(super) async fn last_word(wire: &mut Wire<Far>) -> Option<&PeerError> {
    let Far::Peer(stream) = &mut wire.stream else { return None };
    // Only the stream's own state counts; it is asked for next.
    let _settled = timeout(LAST_WORD, stream.settle()).await;
    stream.failure()
}
