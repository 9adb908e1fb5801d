//! The set of addresses whose connections are taken.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use aya::maps::{HashMap, MapData, MapError};
use cheops_ebpf_common::{Endpoint, GUARD_OWN, GUARD_REFUSE, GuardKey, GuardValue};
use nix::errno::Errno;

use super::numbers::Numbers;
use super::{KernelError, form, map, source};
use crate::address::canonical;
use crate::metadata::{EndpointId, Guard};

/// What is guarded now, in the kernel's maps.
pub struct Guarded {
    netns: u64,
    guarded: HashMap<MapData, GuardKey, GuardValue>,
    endpoints: HashMap<MapData, u32, Endpoint>,
    now: BTreeMap<SocketAddr, GuardValue>,
    known: Known,
}

/// What is or was guarded: connections may be on their way to what is guarded no longer.
#[derive(Debug)]
pub struct Known {
    numbers: Numbers,
    /// The source that the route to an endpoint gave when it was last guarded. Only those of this agent's life.
    sources: BTreeMap<SocketAddr, Option<IpAddr>>,
}

impl Known {
    /// What was numbered before; nothing is guarded yet.
    pub fn new(numbers: Numbers) -> Self {
        Self { numbers, sources: BTreeMap::new() }
    }

    /// The number of an address that is or was guarded.
    pub fn number(&self, address: SocketAddr) -> Option<EndpointId> {
        self.numbers.number(address)
    }

    /// The address of an endpoint's number.
    pub fn address(&self, number: u32) -> Option<SocketAddr> {
        self.numbers.address(number)
    }

    /// Whether the address was guarded at any time since this agent's start.
    pub fn was_guarded(&self, address: SocketAddr) -> bool {
        self.sources.contains_key(&address)
    }

    /// The source that the route to the address gave when it was last guarded.
    pub fn source(&self, address: SocketAddr) -> Option<IpAddr> {
        self.sources.get(&address).copied().flatten()
    }

    /// Remembers an endpoint with its source, as [`Guarded::set`] does. Whether that is new.
    pub fn learn(&mut self, address: SocketAddr, source: Option<IpAddr>) -> bool {
        self.sources.insert(address, source) != Some(source)
    }
}

impl Guarded {
    /// Nothing is guarded yet.
    pub fn new(
        netns: u64,
        guarded: HashMap<MapData, GuardKey, GuardValue>,
        endpoints: HashMap<MapData, u32, Endpoint>,
        numbers: Numbers,
    ) -> Self {
        Self { netns, guarded, endpoints, now: BTreeMap::new(), known: Known::new(numbers) }
    }

    /// What is or was guarded.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Takes up what an earlier agent guarded, so that the next [`set`](Self::set) changes only what differs. Says what
    /// it is, for a first one.
    ///
    /// # Errors
    /// When the map can't be read or written.
    pub fn adopt(&mut self) -> Result<Vec<Guard>, KernelError> {
        self.now.clear();
        let entries: Vec<_> = self.guarded.iter().collect::<Result<_, _>>().map_err(map("GUARDED"))?;
        for (key, value) in entries {
            if key.netns == self.netns {
                self.now.insert(form::address(key.address, key.port), value);
            } else {
                absent_is_fine(self.guarded.remove(&key)).map_err(map("GUARDED"))?;
            }
        }
        Ok(self.guards())
    }

    /// Makes the maps again what they were for this agent, whatever another one wrote into them.
    ///
    /// # Errors
    /// When the maps can't be read or written.
    pub fn restore(&mut self) -> Result<(), KernelError> {
        let wanted = self.guards();
        self.adopt()?;
        self.known.sources.clear();
        self.set(wanted)
    }

    /// Makes `guards` the set, and looks up anew which source each one's route gives.
    ///
    /// # Errors
    /// [`KernelError::Full`] when some have no room; the others are guarded.
    pub fn set(&mut self, guards: impl IntoIterator<Item = Guard>) -> Result<(), KernelError> {
        let (wanted, mut left) = self.number(guards);
        self.known.numbers.keep()?;
        // First what goes, so that there is room for what comes.
        let gone: Vec<SocketAddr> = self.now.keys().filter(|address| !wanted.contains_key(address)).copied().collect();
        for address in gone {
            absent_is_fine(self.guarded.remove(&self.key(address))).map_err(map("GUARDED"))?;
            self.now.remove(&address);
        }
        for (address, value) in wanted {
            if self.enter(address, value)? {
                self.now.insert(address, value);
            } else {
                left.push(address);
            }
        }
        if left.is_empty() { Ok(()) } else { Err(KernelError::Full { left }) }
    }

    fn guards(&self) -> Vec<Guard> {
        self.now.iter().map(|(address, value)| guard_of(*address, *value)).collect()
    }

    /// How many are guarded.
    pub fn len(&self) -> usize {
        self.now.len()
    }

    fn number(
        &mut self,
        guards: impl IntoIterator<Item = Guard>,
    ) -> (BTreeMap<SocketAddr, GuardValue>, Vec<SocketAddr>) {
        let (mut wanted, mut left) = (BTreeMap::new(), Vec::new());
        for guard in guards {
            let address = canonical(guard.address);
            let Some(EndpointId(number)) = self.known.numbers.give(address) else {
                left.push(address);
                continue;
            };
            let own = if guard.own { GUARD_OWN } else { 0 };
            let refuse = if guard.refuse_when_down { GUARD_REFUSE } else { 0 };
            wanted.insert(address, GuardValue::new(number, own | refuse));
        }
        (wanted, left)
    }

    /// Guards one address. False when there is no room.
    fn enter(&mut self, address: SocketAddr, value: GuardValue) -> Result<bool, KernelError> {
        let source = source::towards(address);
        if self.known.learn(address, source) {
            let endpoint = Endpoint {
                address: form::of(address.ip()),
                source: source.map(form::of).unwrap_or_default(),
                port: address.port().into(),
            };
            if !fits(self.endpoints.insert(value.number, endpoint, 0)).map_err(map("ENDPOINTS"))? {
                self.known.sources.remove(&address);
                return Ok(false);
            }
        }
        if self.now.get(&address) == Some(&value) {
            return Ok(true);
        }
        fits(self.guarded.insert(self.key(address), value, 0)).map_err(map("GUARDED"))
    }

    fn key(&self, address: SocketAddr) -> GuardKey {
        GuardKey { netns: self.netns, address: form::of(address.ip()), port: address.port().into(), zero: 0 }
    }
}

fn guard_of(address: SocketAddr, value: GuardValue) -> Guard {
    let (own, refuse_when_down) = (value.flags & GUARD_OWN != 0, value.flags & GUARD_REFUSE != 0);
    Guard { address, own, refuse_when_down }
}

/// What is guarded in a network namespace, whoever wrote it into the map.
///
/// # Errors
/// When the map can't be read.
pub fn read(guarded: &HashMap<MapData, GuardKey, GuardValue>, netns: u64) -> Result<Vec<Guard>, KernelError> {
    let all: Vec<(GuardKey, GuardValue)> = guarded.iter().collect::<Result<_, _>>().map_err(map("GUARDED"))?;
    let ours = all.into_iter().filter(|(key, _)| key.netns == netns);
    Ok(ours.map(|(key, value)| guard_of(form::address(key.address, key.port), value)).collect())
}

/// Whether there was room.
pub fn fits(done: Result<(), MapError>) -> Result<bool, MapError> {
    match done {
        Ok(()) => Ok(true),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(Errno::E2BIG as i32) => Ok(false),
        Err(error) => Err(error),
    }
}

/// An entry that is gone already is as good as removed.
pub fn absent_is_fine(done: Result<(), MapError>) -> Result<(), MapError> {
    match done {
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(()),
        Err(MapError::KeyNotFound) => Ok(()),
        done => done,
    }
}
