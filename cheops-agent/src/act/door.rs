//! Where connections come in: accepted, asked where they were going, admitted, served.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::{Place, Waiting};
use super::connection::{self, linger, reset};
use super::shared::Shared;
use super::upstream::Watch;
use super::wire::Wire;
use crate::accept::{Backlog, Listeners, OriginError, Taken};
use crate::address::is_own;
use crate::http::reply::{self, Manner};
use crate::http::{Code, Problem, Sniffed, sniff};
use crate::observe::{Limit, Refused, request_id};

/// How long one has to say that it speaks HTTP before it is told.
const TELLING: Duration = Duration::from_secs(1);
/// How often the backlogs are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Between two tries when accepting fails and nothing can be done about it.
const PAUSE: Duration = Duration::from_millis(20);

/// Accepts from `listeners` until `stop`. Each connection is served as a task of `connections`. Connections may come in
/// as soon as this returns.
pub fn run(
    listeners: Arc<Listeners>,
    shared: Arc<Shared>,
    connections: TaskTracker,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send {
    let mut door = Door { shared, connections, spare: Spare::new(), backlogs: Default::default(), watch: None };
    door.watch(&listeners);
    accept(listeners, door, stop)
}

async fn accept(listeners: Arc<Listeners>, mut door: Door, stop: CancellationToken) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = looks.tick() => {
                door.look(&listeners);
                continue;
            }
            accepted = listeners.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                door.accept(stream, &listeners);
                door.spare.refill();
            }
            Err(error) => door.failed(&listeners, error).await,
        }
    }
}

struct Door {
    shared: Arc<Shared>,
    connections: TaskTracker,
    spare: Spare,
    /// One for each listener.
    backlogs: [Backlog; 2],
    /// What the listeners have, and by that what is accepted.
    watch: Option<Watch>,
}

impl Door {
    /// Sets the length that the backlogs are to have, and counts what found no room in them.
    fn look(&mut self, listeners: &Listeners) {
        let most = self.shared.config.load().limits.backlog;
        for (listener, backlog) in listeners.each().zip(&mut self.backlogs) {
            let dropped = backlog.set(listener, most).and_then(|()| backlog.dropped(listener));
            match dropped {
                Ok(dropped) => self.shared.observer.limits(Limit::Backlog, dropped.into()),
                Err(error) => tracing::debug!(%error, "a listener's backlog can't be looked at"),
            }
        }
    }

    /// Has the listeners watched over as their connections are to be, which spares each of these the calls; what an
    /// accepted connection needs itself, as the listeners were not until now.
    fn watch(&mut self, listeners: &Listeners) -> Option<Watch> {
        let watch = Watch::new(&self.shared.config.load().timeouts);
        if self.watch == Some(watch) {
            return None;
        }
        match listeners.each().try_for_each(|listener| watch.over(&SockRef::from(listener))) {
            Ok(()) => self.watch = Some(watch),
            Err(error) => tracing::debug!(%error, "a listener takes no options"),
        }
        Some(watch)
    }

    fn accept(&mut self, stream: TcpStream, listeners: &Listeners) {
        if let Some(Err(error)) = self.watch(listeners).map(|watch| watch.over(&SockRef::from(&stream))) {
            // It can be served all the same; a client that dies silently is noticed later.
            tracing::debug!(%error, "a client's socket takes no options");
        }
        let taken = match self.taken(&stream) {
            Ok(taken) => taken,
            Err(None) => return,
            Err(Some((reason, problem))) => return self.refuse(stream, reason, problem),
        };
        let limits = &self.shared.config.load().limits;
        match self.shared.admission.admit(&taken, limits) {
            Ok((place, waiting)) => {
                self.connections.spawn(serve(Arc::clone(&self.shared), stream, taken, place, waiting));
            }
            Err(full) => {
                let (reason, limit) = full.counted();
                self.shared.observer.limit(limit);
                let detail = format!("the limit {} is reached", limit.key());
                let problem = Problem::at_limit(Code::TooManyConnections, detail, limit);
                self.refuse(stream, reason, problem);
            }
        }
    }

    /// Where the connection was going; a refusal if that is not known, or if it is the agent itself. Nothing at all for
    /// the agent's own probe, and for who has gone.
    fn taken(&self, stream: &TcpStream) -> Result<Taken, Option<(Refused, Problem)>> {
        let looped = |detail: String| Some((Refused::Loop, Problem::new(Code::Loop, detail)));
        match self.shared.origins.taken(stream) {
            Ok(taken) if is_own(taken.orig.get(), &self.shared.own.load()) => {
                Err(looped(format!("{} is an address of the agent itself", taken.orig)))
            }
            Ok(taken) => Ok(taken),
            Err(OriginError::Probe) => Err(None),
            // Its client has gone again.
            Err(OriginError::Socket(error)) if error.kind() == io::ErrorKind::NotConnected => Err(None),
            Err(error @ OriginError::NotTaken(_)) => Err(looped(error.to_string())),
            Err(error) => {
                tracing::warn!(%error, "a connection is refused, as it is not known where it was going");
                Err(Some((Refused::UnknownOrigin, Problem::new(Code::Internal, error.to_string()))))
            }
        }
    }

    /// Ends a connection; one that speaks HTTP is told why.
    fn refuse(&mut self, stream: TcpStream, reason: Refused, problem: Problem) {
        self.shared.observer.refused(reason);
        match self.shared.admission.tell(&self.shared.config.load().limits) {
            Some(place) => {
                self.connections.spawn(async move {
                    tell(stream, problem).await;
                    drop(place);
                });
            }
            None => {
                self.shared.observer.limit(Limit::Refusals);
                reset(&stream);
            }
        }
    }

    /// `accept` failed. Without descriptors the connections that wait are reset one by one, so that their clients know,
    /// and the service goes on by itself as soon as there are descriptors again.
    async fn failed(&mut self, listeners: &Listeners, error: io::Error) {
        use nix::errno::Errno;
        let errno = error.raw_os_error().map(Errno::from_raw);
        match errno {
            Some(Errno::EMFILE | Errno::ENFILE) => {
                self.shared.observer.limit(Limit::Descriptors);
                if self.spare.shed(listeners).await {
                    self.shared.observer.refused(Refused::Descriptors);
                } else {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // The client has gone again (accept(2)).
            Some(Errno::ECONNABORTED | Errno::EINTR | Errno::EPROTO | Errno::ENETDOWN | Errno::EHOSTUNREACH) => {}
            _ => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, taken: Taken, _place: Place, waiting: Waiting) {
    connection::serve(shared, stream, taken, waiting).await;
}

/// Answers `problem` to whatever request comes, if it comes soon and is HTTP; ends the connection.
async fn tell(stream: TcpStream, problem: Problem) {
    let mut client = Wire::new(stream);
    let deadline = Instant::now() + TELLING;
    while sniff(&client.pending) == Sniffed::Undecided {
        match tokio::time::timeout_at(deadline, client.fill()).await {
            Ok(Ok(1..)) => {}
            _ => break,
        }
    }
    if sniff(&client.pending) != Sniffed::Http1 {
        return reset(&client.stream);
    }
    let reply = reply::problem(&problem, &request_id(), Manner::UNREADABLE);
    if client.send(reply).await.is_ok() {
        linger(&mut client, TELLING).await;
    }
}

/// Descriptors kept back for the moment when there are none. Several, since whatever else runs in the agent may take one
/// in the instant in which it is lent to a connection that is to be reset.
struct Spare(Vec<File>);

impl Spare {
    const MOST: usize = 16;

    fn new() -> Self {
        let mut spare = Self(Vec::with_capacity(Self::MOST));
        spare.refill();
        spare
    }

    /// Takes back what is missing, as far as there are descriptors.
    fn refill(&mut self) {
        while self.0.len() < Self::MOST {
            match File::open("/dev/null") {
                Ok(file) => self.0.push(file),
                Err(_) => return,
            }
        }
    }

    /// Accepts one connection in a spare descriptor's place and resets it. False when there is no spare.
    async fn shed(&mut self, listeners: &Listeners) -> bool {
        if self.0.pop().is_none() {
            self.refill();
            return false;
        }
        // Whatever waits is taken; if it has gone meanwhile, nothing is lost.
        let shed = tokio::time::timeout(PAUSE, listeners.accept()).await;
        let done = matches!(&shed, Ok(Ok(_)));
        if let Ok(Ok((stream, _))) = shed {
            reset(&stream);
        }
        self.refill();
        done
    }
}
