//! A connection whose other end shows no certificate: it may ask once to be let in, and nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::Host;
use super::error::ConnectionError;
use crate::peer::counters::Count;
use crate::peer::join::{Answered, JOIN_PATH, whole};

/// Strangers that may be heard at a time.
pub(super) const MOST: usize = 8;
/// How long a stranger may take with everything: the cluster has to be asked, which may be far.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of a question's header list.
const HEADER_LIST: u32 = 4096;

/// Hears one question, answers it, and ends the connection.
pub(super) async fn serve(
    host: &Host,
    io: impl AsyncRead + AsyncWrite + Unpin,
    from: SocketAddr,
) -> Result<(), ConnectionError> {
    let Ok(_place) = host.strangers.try_acquire() else {
        host.counters.add(Count::TooManyConnections);
        return Ok(());
    };
    timeout(PATIENCE, hear(host, io, from)).await.map_err(|_| ConnectionError::Slow)?
}

async fn hear(host: &Host, io: impl AsyncRead + AsyncWrite + Unpin, from: SocketAddr) -> Result<(), ConnectionError> {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1).max_header_list_size(HEADER_LIST);
    let mut connection = builder.handshake::<_, Bytes>(io).await?;
    let Some(asked) = connection.accept().await else { return Ok(()) };
    let (request, mut respond) = asked?;
    let answering = async {
        let answered = match (request.method(), request.uri().path(), host.admits.get()) {
            (&Method::POST, JOIN_PATH, Some(admits)) => match whole(request.into_body()).await? {
                Some(question) => admits.admit(question, from).await,
                None => said(StatusCode::PAYLOAD_TOO_LARGE),
            },
            _ => said(StatusCode::FORBIDDEN),
        };
        let counted = if answered.status.is_success() { Count::Admitted } else { Count::NotAdmitted };
        host.counters.add(counted);
        let mut response = Response::new(());
        *response.status_mut() = answered.status;
        respond.send_response(response, false)?.send_data(answered.body, true)
    };
    // Nothing moves on the connection unless it is polled; a second question is none.
    tokio::select! {
        answered = answering => answered?,
        _ = std::future::poll_fn(|context| connection.poll_closed(context)) => return Ok(()),
    }
    connection.graceful_shutdown();
    while let Some(more) = connection.accept().await {
        drop(more?);
    }
    Ok(())
}

fn said(status: StatusCode) -> Answered {
    Answered { status, body: Bytes::new() }
}
