//! The wide-area network between hosts: each host's packets come out of a TUN device and are carried to the other
//! host's in user space, late, or not at all. (The kernels that this is tested on have no `netem`.)

mod late;
mod way;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{lock, lock_read, lock_write};
use late::{Late, Queue};
pub use way::{Carried, Weather};
pub(super) use way::{Verdict, Way};

/// How long ports may take to notice that their devices are gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// A host's end of the network.
pub(super) struct Port {
    /// The site's number: weather is between sites.
    site: u8,
    device: tun::Device,
}

/// Carries packets between ports until it is dropped.
pub(super) struct Relay {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    routes: RwLock<HashMap<IpAddr, Arc<Port>>>,
    ways: RwLock<HashMap<(u8, u8), Arc<Way>>>,
    late: Queue,
    end: AtomicBool,
}

impl Relay {
    pub(super) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let carrier = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while let Some(packet) = carrier.late.next() {
                packet.way.arrive(packet.bytes.len(), || deliver(&packet.to, &packet.bytes));
            }
        });
        Self { shared, threads: Mutex::new(vec![thread]) }
    }

    /// Carries this device's packets, and to it those for `addresses`.
    pub(super) fn plug(&self, site: u8, device: tun::Device, addresses: &[IpAddr]) {
        let port = Arc::new(Port { site, device });
        for address in addresses {
            lock_write(&self.shared.routes).insert(*address, Arc::clone(&port));
        }
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::spawn(move || shared.carry(&port));
        lock(&self.threads).push(thread);
    }

    /// Leads packets for `address` to the host that has `as_for`.
    pub(super) fn route(&self, address: IpAddr, as_for: IpAddr) {
        let mut routes = lock_write(&self.shared.routes);
        if let Some(port) = routes.get(&as_for).cloned() {
            routes.insert(address, port);
        }
    }

    pub(super) fn way(&self, from: u8, to: u8) -> Arc<Way> {
        self.shared.way(from, to)
    }
}

impl Drop for Relay {
    /// The devices must have been deleted before: that wakes the threads that wait for them.
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        self.shared.late.end();
        let end = Instant::now() + PATIENCE;
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            while !thread.is_finished() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() {
                _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn way(&self, from: u8, to: u8) -> Arc<Way> {
        if let Some(way) = lock_read(&self.ways).get(&(from, to)) {
            return Arc::clone(way);
        }
        Arc::clone(lock_write(&self.ways).entry((from, to)).or_default())
    }

    fn carry(&self, port: &Port) {
        let mut buffer = vec![0; 65_536];
        while !self.end.load(Ordering::Relaxed) {
            match port.device.recv(&mut buffer) {
                Ok(length) => self.send(port, buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return, // the device is gone with its namespace
            }
        }
    }

    fn send(&self, from: &Port, packet: &[u8]) {
        let Some(destination) = destination(packet) else { return };
        let to = lock_read(&self.routes).get(&destination).cloned();
        let Some(to) = to else { return };
        let way = self.way(from.site, to.site);
        let now = Instant::now();
        match way.judge(now, packet.len()) {
            Verdict::Lost => {}
            Verdict::Now => way.arrive(packet.len(), || deliver(&to, packet)),
            Verdict::At(due) => self.late.push(Late::new(due, way, to, packet)),
        }
    }
}

/// Whether the device took the packet.
fn deliver(to: &Port, packet: &[u8]) -> bool {
    to.device.send(packet).is_ok()
}

fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(16..20)?).ok()?).into()),
        6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(24..40)?).ok()?).into()),
        _ => None,
    }
}
