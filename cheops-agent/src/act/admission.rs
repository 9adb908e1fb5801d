//! How many client connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Limits;
use crate::observe::{Limit, Refused};

/// Counts the open connections.
#[derive(Clone, Debug, Default)]
pub struct Admission(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    admission: Admission,
    client: IpAddr,
}

/// The limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    All,
    Client,
}

impl Full {
    /// As it is counted.
    pub fn counted(self) -> (Refused, Limit) {
        match self {
            Self::All => (Refused::Connections, Limit::Connections),
            Self::Client => (Refused::ConnectionsPerClient, Limit::ConnectionsPerClient),
        }
    }
}

impl Admission {
    /// A place for a connection from `client`.
    ///
    /// # Errors
    /// When one of the limits is reached.
    pub fn admit(&self, client: IpAddr, limits: &Limits) -> Result<Place, Full> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= limits.connections {
            return Err(Full::All);
        }
        let of = open.of.entry(client).or_default();
        if *of >= limits.connections_per_client {
            return Err(Full::Client);
        }
        *of += 1;
        open.all += 1;
        Ok(Place { admission: self.clone(), client })
    }

    /// Connections that have a place now.
    pub fn open(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(of) = open.of.get_mut(&self.client) {
            *of = of.saturating_sub(1);
            if *of == 0 {
                open.of.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::fakes;

    #[test]
    fn places_are_limited_in_all_and_for_each_client_and_come_back() {
        let limits = Limits { connections: 3, connections_per_client: 2, ..fakes::config().limits };
        let admission = Admission::default();
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = admission.admit(one, &limits).expect("room");
        let second = admission.admit(one, &limits).expect("room");
        assert_eq!(admission.admit(one, &limits).expect_err("full"), Full::Client);
        let third = admission.admit(two, &limits).expect("room");
        assert_eq!(admission.admit(two, &limits).expect_err("full"), Full::All);
        drop(first);
        let again = admission.admit(one, &limits).expect("a place came back");
        drop((second, third, again));
        assert_eq!(admission.open(), 0);
        assert!(admission.0.lock().expect("no panic").of.is_empty(), "no address is remembered for ever");
    }
}
