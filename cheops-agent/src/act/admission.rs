//! How many client connections there may be: in all, from one address, and of one service that has not accepted them;
//! and how many refused ones may be told why.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::accept::Taken;
use crate::config::Limits;
use crate::observe::{Limit, Refused};

/// Counts the open connections.
#[derive(Debug, Default)]
pub struct Admission {
    open: Arc<Mutex<Open>>,
    /// The number of its clones is that of the connections that are being told.
    told: Arc<()>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<IpAddr, usize>,
    /// Those whose service has not accepted, by where they go.
    waiting: HashMap<SocketAddr, usize>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    open: Arc<Mutex<Open>>,
    client: IpAddr,
}

/// A connection's place among those that wait for a service; given back when dropped.
#[derive(Debug)]
pub struct Waiting {
    open: Arc<Mutex<Open>>,
    to: SocketAddr,
}

/// Counts as a refused connection that is told why, as long as it lives.
#[derive(Debug)]
pub struct Told(#[expect(dead_code, reason = "it is counted, not read")] Arc<()>);

/// The limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    All,
    Client,
    Pending,
}

impl Full {
    /// As it is counted.
    pub fn counted(self) -> (Refused, Limit) {
        match self {
            Self::All => (Refused::Connections, Limit::Connections),
            Self::Client => (Refused::ConnectionsPerClient, Limit::ConnectionsPerClient),
            Self::Pending => (Refused::Pending, Limit::Pending),
        }
    }
}

impl Admission {
    /// A place for a connection, and one among those that wait for its service.
    ///
    /// # Errors
    /// When one of the limits is reached.
    pub fn admit(&self, taken: &Taken, limits: &Limits) -> Result<(Place, Waiting), Full> {
        let (client, to) = (taken.client.get().ip(), taken.orig.get());
        let mut open = self.lock();
        if open.all >= limits.connections {
            return Err(Full::All);
        }
        if open.of.get(&client).is_some_and(|of| *of >= limits.connections_per_client) {
            return Err(Full::Client);
        }
        if !open.wait(to, limits) {
            return Err(Full::Pending);
        }
        *open.of.entry(client).or_default() += 1;
        open.all += 1;
        Ok((Place { open: self.open.clone(), client }, Waiting { open: self.open.clone(), to }))
    }

    /// A place for a connection whose service, at `to`, is dialled once more; none when `limits.pending` is reached.
    pub fn wait(&self, to: SocketAddr, limits: &Limits) -> Option<Waiting> {
        self.lock().wait(to, limits).then(|| Waiting { open: self.open.clone(), to })
    }

    /// A place for a refused connection that is told why; none when `limits.refusals` is reached.
    pub fn tell(&self, limits: &Limits) -> Option<Told> {
        let told = Arc::clone(&self.told);
        // The one that is here, and the new one.
        (Arc::strong_count(&told) - 2 < limits.refusals).then_some(Told(told))
    }

    /// Connections that have a place now.
    pub fn open(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn wait(&mut self, to: SocketAddr, limits: &Limits) -> bool {
        let waiting = self.waiting.entry(to).or_default();
        let room = *waiting < limits.pending;
        *waiting += usize::from(room);
        room
    }
}

/// One fewer; nothing is remembered of what has none.
fn leave<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        leave(&mut open.of, &self.client);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        leave(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner).waiting, &self.to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::fakes;
    use crate::address::{ClientAddr, OrigDst};

    fn taken(client: u8, service: u8) -> Taken {
        let at = |host, port| SocketAddr::from(([10, 0, 0, host], port));
        Taken { orig: OrigDst::new(at(service, 80)), client: ClientAddr::new(at(client, 1)), session: None }
    }

    #[test]
    fn places_are_limited_in_all_and_for_each_client_and_come_back() {
        let limits = Limits { connections: 3, connections_per_client: 2, ..fakes::config().limits };
        let admission = Admission::default();
        let admit = |client| admission.admit(&taken(client, 100), &limits);
        let first = admit(1).expect("room");
        let second = admit(1).expect("room");
        assert_eq!(admit(1).expect_err("full"), Full::Client);
        let third = admit(2).expect("room");
        assert_eq!(admit(2).expect_err("full"), Full::All);
        drop(first);
        let again = admit(2).expect("a place came back");
        drop((second, third, again));
        assert_eq!(admission.open(), 0);
        let open = admission.lock();
        assert!(open.of.is_empty() && open.waiting.is_empty(), "no address is remembered for ever");
    }

    #[test]
    fn those_that_wait_are_limited_for_each_service() {
        let limits = Limits { pending: 2, ..fakes::config().limits };
        let admission = Admission::default();
        let (place, waiting) = admission.admit(&taken(1, 100), &limits).expect("room");
        let more = admission.wait(taken(1, 100).orig.get(), &limits).expect("room");
        assert_eq!(admission.admit(&taken(2, 100), &limits).expect_err("full"), Full::Pending);
        assert!(admission.wait(taken(1, 100).orig.get(), &limits).is_none());
        admission.admit(&taken(2, 101), &limits).expect("another service's");
        drop(waiting);
        admission.admit(&taken(2, 100), &limits).expect("a place came back");
        drop((place, more));
    }

    #[test]
    fn those_that_are_told_are_limited() {
        let admission = Admission::default();
        let limits = |refusals| Limits { refusals, ..fakes::config().limits };
        assert!(admission.tell(&limits(0)).is_none());
        let first = admission.tell(&limits(1)).expect("room");
        assert!(admission.tell(&limits(1)).is_none());
        drop(first);
        assert!(admission.tell(&limits(1)).is_some());
    }
}
