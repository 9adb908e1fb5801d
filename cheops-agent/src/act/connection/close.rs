//! How a connection ends.

use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Connection;
use crate::act::wire::Wire;

/// The way in which both connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// After a last message: the service's own close is awaited, and what it still says goes on.
    Finish,
    /// In order, now.
    Fin,
    /// At once (RFC 9293, 3.5.2): the other end must not take what it got for whole.
    Reset,
}

impl Connection {
    pub(super) async fn close(mut self, close: Close) {
        match close {
            Close::Reset => {
                reset(&self.client.stream);
                let Self { client, mut link, shared, .. } = self;
                drop(client);
                // The service may have accepted, though it isn't known here yet: a dial that is dropped ends in order.
                // One that lasts longer has not been accepted.
                if tokio::time::timeout(shared.pace.linger, link.settled()).await.is_ok()
                    && let Some(service) = link.up()
                {
                    reset(&service.stream);
                }
            }
            Close::Finish => {
                let limit = self.shared.pace.linger;
                // Whatever comes of it, the connection ends now.
                let finished = tokio::time::timeout(limit, self.finish()).await;
                if matches!(finished, Ok(Err(_))) {
                    reset(&self.client.stream);
                    if let Some(service) = self.link.up() {
                        reset(&service.stream);
                    }
                    return;
                }
                self.link.end();
                linger(&mut self.client, limit).await;
            }
            Close::Fin => {
                let limit = self.shared.pace.linger;
                self.link.end();
                linger(&mut self.client, limit).await;
            }
        }
    }

    /// Passes on what the service still says, until it closes; and that the client has ended. What the client still says
    /// is for nobody.
    async fn finish(&mut self) -> std::io::Result<()> {
        while let Some(service) = self.link.up() {
            let client = &mut self.client;
            client.pending.clear();
            if client.ended() {
                service.shut().await?;
            }
            client.send(service.pending.split().freeze()).await?;
            if service.ended() {
                break;
            }
            std::future::poll_fn(|cx| {
                if !client.ended()
                    && let Poll::Ready(read) = client.poll_fill(cx)
                {
                    return Poll::Ready(read);
                }
                service.poll_fill(cx)
            })
            .await?;
        }
        Ok(())
    }
}

/// Ends our side, and lets the client end its own: a close with unread bytes would be a reset, which could take the
/// answer's end with it (RFC 9112, 9.6).
pub(in crate::act) async fn linger(client: &mut Wire<TcpStream>, limit: Duration) {
    if client.ended() {
        // Nothing of it is unread, so that its close is an end in order.
        return;
    }
    let deadline = Instant::now() + limit;
    if client.shut().await.is_err() {
        return;
    }
    while !client.ended() {
        client.pending.clear();
        match tokio::time::timeout_at(deadline, client.fill()).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// Makes the close of `stream` a reset.
pub(in crate::act) fn reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "a connection ends in order instead of by a reset");
    }
}
