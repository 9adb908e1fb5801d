//! Bytes both ways, unread: what isn't HTTP, and what has left it.
//!
//! Each end's close goes on to the other while the other way stays open (complaints of other proxies: `select!` cuts
//! answers short, and waiting for both ends for ever leaks). Once one way is closed, the other may be silent only for a
//! while.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::exchange::Side;
use super::splice::Splice;
use super::stream::Stream;
use super::wire::Wire;

/// What a tunnel carried, and how it ended.
#[derive(Debug, Default)]
pub struct Passed {
    /// Bytes that the service was sent.
    pub from_client: u64,
    /// Bytes that the client was sent.
    pub to_client: u64,
    /// The end that broke; nothing when both ways were closed in order, or one stayed silent for too long.
    pub broken: Option<(Side, io::Error)>,
    /// Whether it was ended since nothing moved any more in its last open way.
    pub still: bool,
}

/// Passes on what is pending at either end and what comes, until both ways are closed. `half_closed` is how long nothing
/// may move once one way is closed.
pub async fn tunnel<C, S>(client: &mut Wire<C>, service: &mut Wire<S>, half_closed: Duration) -> Passed
where
    C: Stream,
    S: Stream,
{
    let mut alarm = Alarm::default();
    let (mut there, mut back) = (Way::default(), Way::default());
    let (mut moved, mut broken, mut still) = (None, None, false);
    let ended = std::future::poll_fn(|cx| {
        let before = there.bytes + back.bytes;
        let results = [
            there.poll(cx, client, service).map_err(|broken| broken.at(Side::Client, Side::Service)),
            back.poll(cx, service, client).map_err(|broken| broken.at(Side::Service, Side::Client)),
        ];
        for (read, side, error) in results.into_iter().filter_map(Result::err) {
            broken.get_or_insert((side, error));
            if read {
                return Poll::Ready(());
            }
        }
        if there.closed && back.closed {
            return Poll::Ready(());
        }
        if there.closed || back.closed {
            if moved.is_none() || there.bytes + back.bytes > before {
                moved = Some(Instant::now());
            }
            still = alarm.poll(cx, moved.map(|moved| moved + half_closed)).is_ready();
            return if still { Poll::Ready(()) } else { Poll::Pending };
        }
        Poll::Pending
    });
    ended.await;
    Passed { from_client: there.bytes, to_client: back.bytes, broken, still }
}

/// One direction.
#[derive(Default)]
struct Way {
    ready: usize,
    bytes: u64,
    closed: bool,
    splice: Splice,
}

/// Which end of a way broke. One that takes nothing more may still have something to say.
enum Broken {
    From(io::Error),
    To(io::Error),
}

impl Broken {
    /// Whether reading broke, the end, and why.
    fn at(self, from: Side, to: Side) -> (bool, Side, io::Error) {
        match self {
            Self::From(error) => (true, from, error),
            Self::To(error) => (false, to, error),
        }
    }
}

impl Way {
    fn poll<A, B>(&mut self, cx: &mut Context<'_>, from: &mut Wire<A>, to: &mut Wire<B>) -> Result<(), Broken>
    where
        A: Stream,
        B: Stream,
    {
        while !self.closed {
            if self.ready == 0 {
                self.ready = from.pending.len();
            }
            if self.ready > 0 {
                match self.poll_copy(cx, from, to)? {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(()) => continue,
                }
            }
            if self.splice.inside() > 0 || from.may_splice(to) && self.splice.is_ready() {
                match self.poll_splice(cx, from, to)? {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(()) => continue,
                }
            }
            if from.ended() {
                match to.poll_shut(cx) {
                    Poll::Pending => return Ok(()),
                    // An end that has gone already doesn't need to be told.
                    Poll::Ready(_) => self.closed = true,
                }
                continue;
            }
            match (to.poll_flush(cx), from.poll_fill(cx)) {
                (Poll::Ready(Err(error)), _) => return Err(self.broken(error)),
                (_, Poll::Ready(Err(error))) => return Err(Broken::From(error)),
                (_, Poll::Pending) => {
                    from.rest();
                    return Ok(());
                }
                (_, Poll::Ready(Ok(_))) => {}
            }
        }
        Ok(())
    }
}

impl Way {
    /// The other end takes nothing more.
    fn broken(&mut self, error: io::Error) -> Broken {
        self.closed = true;
        Broken::To(error)
    }

    /// Writes what was read and is ready.
    fn poll_copy<A: Stream, B: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Wire<A>,
        to: &mut Wire<B>,
    ) -> Result<Poll<()>, Broken> {
        let left = self.ready;
        let sent = to.poll_send(cx, &mut Bytes::new(), &mut from.pending, &mut self.ready);
        self.bytes += (left - self.ready) as u64;
        match sent {
            Poll::Ready(Err(error)) => Err(self.broken(error)),
            Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    /// One turn of moving bytes on uncopied: what is in the pipe, or more into it.
    fn poll_splice<A: Stream, B: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Wire<A>,
        to: &mut Wire<B>,
    ) -> Result<Poll<()>, Broken> {
        let inside = self.splice.inside();
        if inside > 0 {
            let sent = to.poll_send_spliced(cx, &mut self.splice);
            self.bytes += (inside - self.splice.inside()) as u64;
            return match sent {
                Poll::Ready(Err(error)) => Err(self.broken(error)),
                Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
                Poll::Pending => Ok(Poll::Pending),
            };
        }
        match from.poll_fill_spliced(cx, &mut self.splice, u64::MAX) {
            Poll::Ready(Err(error)) => Err(Broken::From(error)),
            Poll::Ready(Ok(_)) => Ok(Poll::Ready(())),
            Poll::Pending => Ok(Poll::Pending),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn each_close_goes_on_while_the_other_way_stays_open() {
        for client_first in [true, false] {
            let (near, far) = duplex(64);
            let (mut client, mut service) = (Wire::new(near), Wire::new(duplex(1).0));
            let (near_service, far_service) = duplex(64);
            service.stream = near_service;
            client.pending.extend_from_slice(b"early ");
            let (mut first, mut second) = if client_first { (far, far_service) } else { (far_service, far) };
            let ends = async {
                first.write_all(b"one").await.expect("room");
                first.shutdown().await.expect("open");
                let mut seen = String::new();
                second.read_to_string(&mut seen).await.expect("to its end");
                second.write_all(b"two").await.expect("room");
                drop(second);
                let mut answer = String::new();
                first.read_to_string(&mut answer).await.expect("to its end");
                (seen, answer)
            };
            let (passed, (seen, answer)) =
                tokio::join!(tunnel(&mut client, &mut service, Duration::from_secs(60)), ends);
            let expected = if client_first { ("early one", "two") } else { ("one", "early two") };
            assert_eq!((seen.as_str(), answer.as_str()), expected);
            assert!(passed.broken.is_none());
            assert_eq!(passed.from_client + passed.to_client, 12);
        }
    }

    #[tokio::test]
    async fn a_half_closed_tunnel_ends_when_nothing_moves() {
        let ((client, mut far), (service, mut far_service)) = (duplex(64), duplex(64));
        let (mut client, mut service) = (Wire::new(client), Wire::new(service));
        far.shutdown().await.expect("open");
        let limit = Duration::from_millis(200);
        let started = Instant::now();
        let busy = async {
            for _ in 0..6 {
                tokio::time::sleep(limit / 2).await;
                far_service.write_all(b"x").await.expect("open");
            }
        };
        let (passed, ()) = tokio::join!(tunnel(&mut client, &mut service, limit), busy);
        assert!(passed.broken.is_none() && passed.still);
        assert_eq!(passed.to_client, 6);
        assert!(started.elapsed() >= limit * 3, "bytes keep it open");
    }
}
