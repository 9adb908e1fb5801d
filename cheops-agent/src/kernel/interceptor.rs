//! The programs while they run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, SkStorage};
use cheops_ebpf_common::{ABI_VERSION, AGENT_MARK, NOTE_ANNOUNCED, Note, Settings};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::guarded::{self, Guarded, absent_is_fine, fits};
use super::kept::PROGRAMS;
use super::kept::{self, Kept};
use super::lease::{LeaseMap, Renewal};
use super::links::Links;
use super::load::{self, Loaded, Sizes};
use super::numbers::Numbers;
use super::probe::{self, Probes};
use super::tree::{Namespace, Tree};
use super::{Counter, KernelError, counters, form, logs, map, origins};
use crate::accept::{Listeners, OriginError, Origins, SessionId, Taken};
use crate::address::{ClientAddr, canonical, is_own};
use crate::config::Config;
use crate::metadata::{EndpointId, Guard};

/// The programs. Dropping it detaches them, unless somebody else holds their links too.
pub struct Interceptor {
    // First, so that the programs are gone before anything that they use.
    links: Mutex<Links>,
    programs: Ebpf,
    _logs: Option<logs::Reader>,
    lease: Mutex<Leasing>,
    guarded: RwLock<Guarded>,
    sessions: Mutex<Sessions>,
    notes: Mutex<SkStorage<MapData, Note>>,
    counters: PerCpuArray<MapData, u64>,
    guarded_full: AtomicU64,
    probes: Probes,
    /// Where taken connections come in.
    listening: Vec<SocketAddr>,
    /// Everywhere that the agent listens: no service's endpoint can be there.
    own: Vec<SocketAddr>,
    ipv6: bool,
    /// Of every map, by their names in a store.
    kept: Vec<(String, OwnedFd)>,
    tree: Tree,
    namespace: Namespace,
}

/// Programs that are loaded; nothing that runs has changed.
pub struct Prepared {
    loaded: Loaded,
    links: BTreeMap<&'static str, OwnedFd>,
    sizes: Sizes,
    tree: Tree,
    namespace: Namespace,
    adopted: Vec<Guard>,
}

impl Prepared {
    /// What an earlier agent guards, or guarded when it died.
    pub fn guarded_before(&self) -> &[Guard] {
        &self.adopted
    }
}

/// The lease before and after the programs are attached.
enum Leasing {
    Not(Option<LeaseMap>),
    Renewed(Renewal),
}

/// Which cgroup is which `exec` session.
struct Sessions {
    map: HashMap<MapData, u64, u32>,
    settings: Array<MapData, Settings>,
    written: Settings,
    now: BTreeMap<SessionId, u64>,
}

impl Interceptor {
    /// Loads the programs, attaches them to this thread's network namespace and to the configured cgroup tree, and
    /// starts to renew the lease. Nothing but probes is taken before [`guard`](Self::guard). To be called inside the
    /// runtime that accepts.
    ///
    /// # Errors
    /// When the kernel refuses something; nothing stays attached.
    pub fn start(config: &Config, listeners: &Listeners) -> Result<Arc<Self>, KernelError> {
        Self::start_with(config, listeners, Sizes::default())
    }

    /// As [`start`](Self::start), with maps of other sizes.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(config: &Config, listeners: &Listeners, sizes: Sizes) -> Result<Arc<Self>, KernelError> {
        let interceptor = Self::begin(Self::prepare(config, Kept::default(), sizes)?, config, listeners)?;
        interceptor.attach()?;
        Ok(interceptor)
    }

    /// Loads the programs, with what an earlier agent left of maps and links. Takes its time, and changes nothing.
    ///
    /// # Errors
    /// When the kernel refuses something.
    pub fn prepare(config: &Config, mut kept: Kept, sizes: Sizes) -> Result<Prepared, KernelError> {
        let tree = Tree::open(&config.intercept.cgroup)?;
        tree.holds_this_process()?;
        let namespace = Namespace::own()?;
        let loaded = load::load(sizes, &mut kept)?;
        let adopted = guarded::read(&loaded.maps.guarded, namespace.cookie)?;
        Ok(Prepared { loaded, links: kept.links, sizes, tree, namespace, adopted })
    }

    /// Fills the maps. What an earlier agent guarded stays guarded until [`guard`](Self::guard), and its `exec` sessions
    /// stay until [`settle_sessions`](Self::settle_sessions). To be called inside the runtime that accepts, and before
    /// [`attach`](Self::attach).
    ///
    /// # Errors
    /// When the kernel refuses something.
    pub fn begin(prepared: Prepared, config: &Config, listeners: &Listeners) -> Result<Arc<Self>, KernelError> {
        let Prepared { loaded, links, sizes, tree, namespace, .. } = prepared;
        let Loaded { mut programs, mut maps, adopted, kept } = loaded;
        let numbers = Numbers::load(&config.run_dir)?;
        let what = "the listeners";
        let listening = listeners.addresses().map_err(|error| KernelError::System { what, error })?;
        let written = load::fill(&mut maps, listeners, namespace.cookie, sizes)?;
        let mut guarded = Guarded::new(namespace.cookie, maps.guarded, maps.endpoints, numbers);
        let ipv6 = listeners.v6.is_some();
        let before = guarded.adopt()?;
        guarded.set(before.into_iter().chain(probe::guards(ipv6)))?;
        tracing::debug!(maps = adopted.len(), links = links.len(), guarded = guarded.len(), "taken up from before");
        let logs = logs::Reader::start(&mut programs);
        Ok(Arc::new(Self {
            links: Mutex::new(Links::kept(links)),
            programs,
            _logs: logs,
            lease: Mutex::new(Leasing::Not(Some(maps.lease))),
            guarded: RwLock::new(guarded),
            sessions: Mutex::new(Sessions {
                map: maps.sessions,
                settings: maps.settings,
                written,
                now: BTreeMap::new(),
            }),
            notes: Mutex::new(maps.notes),
            counters: maps.counters,
            guarded_full: AtomicU64::new(0),
            probes: Probes::default(),
            own: own_addresses(config, &listening),
            listening,
            ipv6,
            kept,
            tree,
            namespace,
        }))
    }

    /// Starts to renew the lease and attaches the programs: in the place of an earlier agent's, one by one, where it
    /// left its links. To be called once.
    ///
    /// # Errors
    /// When the kernel refuses something; what was attached anew goes with this.
    pub fn attach(&self) -> Result<(), KernelError> {
        let mut lease = lock(&self.lease);
        if let Leasing::Not(map) = &mut *lease
            && let Some(map) = map.take()
        {
            *lease = Leasing::Renewed(Renewal::start(map)?);
        }
        lock(&self.links).switch(&self.programs, &self.tree, &self.namespace)
    }

    /// Every map and link by its name in a store, to be kept when this agent ends.
    ///
    /// # Errors
    /// Without free descriptors.
    pub fn to_keep(&self) -> std::io::Result<Vec<(String, OwnedFd)>> {
        let links = lock(&self.links);
        let links = links.all().map(|(name, link)| Ok((kept::link_name(name), link.try_clone()?)));
        let maps = self.kept.iter().map(|(name, map)| Ok((name.clone(), map.try_clone()?)));
        links.chain(maps).collect()
    }

    /// Gives all up to a successor, which has the maps and the links.
    pub fn leave(&self) {
        if let Leasing::Renewed(lease) = &*lock(&self.lease) {
            lease.leave();
        }
        *lock(&self.links) = Links::default();
    }

    /// Makes everything again as it was before a successor tried to take it.
    ///
    /// # Errors
    /// When the kernel refuses something.
    pub fn restore(&self) -> Result<(), KernelError> {
        self.guarded.write().unwrap_or_else(PoisonError::into_inner).restore()?;
        {
            let mut sessions = lock(&self.sessions);
            let now = sessions.now.clone();
            for (session, cgroup) in now {
                sessions.map.insert(cgroup, u32::from(session.0), 0).map_err(map("SESSIONS"))?;
            }
            sessions.settle()?;
        }
        lock(&self.links).give(&self.programs)
    }

    /// Forgets the sessions of an earlier agent that [`add_session`](Self::add_session) didn't name again.
    ///
    /// # Errors
    /// When the kernel refuses to change the map.
    pub fn settle_sessions(&self) -> Result<(), KernelError> {
        lock(&self.sessions).settle()
    }

    /// Makes `guards` the set of addresses whose connections are taken; what was guarded and isn't in it is let go. To be
    /// called again when routes may have changed: it also looks up which source each one's route gives.
    ///
    /// # Errors
    /// When there is no room for some, or one is the agent's own address: all others are guarded.
    pub fn guard(&self, guards: &[Guard]) -> Result<(), KernelError> {
        let is_own = |guard: &&Guard| is_own(canonical(guard.address), &self.own);
        let foreign = guards.iter().filter(|guard| !is_own(guard)).copied();
        let mut guarded = self.guarded.write().unwrap_or_else(PoisonError::into_inner);
        let set = guarded.set(probe::guards(self.ipv6).chain(foreign));
        if let Err(KernelError::Full { left }) = &set {
            self.guarded_full.fetch_add(left.len() as u64, Ordering::Relaxed);
        }
        set?;
        guards.iter().find(is_own).map_or(Ok(()), |guard| Err(KernelError::Own(guard.address)))
    }

    /// From now on, connections of the processes in the cgroup `cgroup` (its inode number) and below carry the session.
    ///
    /// # Errors
    /// When the map is full.
    pub fn add_session(&self, session: SessionId, cgroup: u64) -> Result<(), KernelError> {
        let mut sessions = lock(&self.sessions);
        if !fits(sessions.map.insert(cgroup, u32::from(session.0), 0)).map_err(map("SESSIONS"))? {
            return Err(KernelError::Map { name: "SESSIONS", error: "it is full".into() });
        }
        sessions.now.insert(session, cgroup);
        sessions.count()
    }

    /// Forgets a session; its processes connect like any other from now on.
    ///
    /// # Errors
    /// When the kernel refuses to change the map.
    pub fn remove_session(&self, session: SessionId) -> Result<(), KernelError> {
        let mut sessions = lock(&self.sessions);
        let Some(cgroup) = sessions.now.remove(&session) else { return Ok(()) };
        absent_is_fine(sessions.map.remove(&cgroup)).map_err(map("SESSIONS"))?;
        sessions.count()
    }

    /// What the programs counted since they were loaded, those that never counted too.
    ///
    /// # Errors
    /// When the map can't be read.
    pub fn counters(&self) -> Result<Vec<Counter>, KernelError> {
        let mut counted = counters::read(&self.counters)?;
        counted.push(("guard", "full", self.guarded_full.load(Ordering::Relaxed)));
        Ok(counted)
    }

    /// Opens connections that the programs must take, one a family, and waits until [`Origins::taken`] has seen them;
    /// how long the slower one took. The accept loop must be running.
    ///
    /// # Errors
    /// When one was not taken.
    pub async fn probe(&self) -> Result<Duration, KernelError> {
        let v4 = self.probes.send(probe::TO_V4).await?;
        let v6 = if self.ipv6 { self.probes.send(probe::TO_V6).await? } else { Duration::ZERO };
        Ok(v4.max(v6))
    }

    /// The `SO_MARK` that every connection of the agent itself must carry before it connects.
    pub fn mark(&self) -> u32 {
        AGENT_MARK
    }

    /// Holds the lease for `time` (at most 5 s) from now and renews it no more, over a planned restart. With zero
    /// nothing is taken from now on.
    ///
    /// # Errors
    /// When the kernel refuses to change the map.
    pub fn hold(&self, time: Duration) -> Result<(), KernelError> {
        match &*lock(&self.lease) {
            Leasing::Renewed(lease) => lease.hold(time),
            Leasing::Not(_) => Ok(()),
        }
    }

    /// The number of an address that is or was guarded.
    pub fn endpoint(&self, address: SocketAddr) -> Option<EndpointId> {
        self.read().known().number(canonical(address))
    }

    /// What is loaded and where it is attached, for `status` and the log.
    pub fn facts(&self) -> Value {
        json!({
            "abi": ABI_VERSION,
            "programs": PROGRAMS,
            "cgroup": self.tree.path,
            "netns": self.namespace.cookie,
            "guarded": self.read().len(),
            "sessions": lock(&self.sessions).now.len(),
            "listeners": self.listening,
        })
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Guarded> {
        self.guarded.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    /// Takes out what isn't this agent's.
    fn settle(&mut self) -> Result<(), KernelError> {
        let known: Vec<u64> = self.map.keys().collect::<Result<_, _>>().map_err(map("SESSIONS"))?;
        for cgroup in known.iter().filter(|cgroup| !self.now.values().any(|now| now == *cgroup)) {
            absent_is_fine(self.map.remove(cgroup)).map_err(map("SESSIONS"))?;
        }
        self.count()
    }

    /// Tells the programs how many there are: with none they don't look.
    fn count(&mut self) -> Result<(), KernelError> {
        self.written.sessions = u32::try_from(self.now.len()).unwrap_or(u32::MAX);
        self.settings.set(0, self.written, 0).map_err(map("SETTINGS"))
    }
}

impl Origins for Interceptor {
    fn taken(&self, connection: &TcpStream) -> Result<Taken, OriginError> {
        let (local, peer) = (canonical(connection.local_addr()?), canonical(connection.peer_addr()?));
        // IPv4 needs no note: its address says it all.
        let note = match local.is_ipv6() {
            true => note(&lock(&self.notes), connection)?,
            false => None,
        };
        let taken = origins::taken(self.read().known(), local, peer, note)?;
        if probe::is_probe(taken.orig.get()) {
            self.probes.accepted(peer.port());
            return Err(OriginError::Probe);
        }
        Ok(taken)
    }

    fn announce(&self, socket: BorrowedFd<'_>, client: ClientAddr) -> std::io::Result<()> {
        let client = client.get();
        let note = Note {
            address: form::of(client.ip()),
            kind: NOTE_ANNOUNCED,
            number: 0,
            port: client.port(),
            session: 0,
            zero: 0,
        };
        lock(&self.notes).insert(&socket, note, 0).map_err(origins::of_socket)
    }
}

/// What the programs noted of a socket.
fn note(notes: &SkStorage<MapData, Note>, socket: &TcpStream) -> Result<Option<Note>, OriginError> {
    match notes.get(socket, 0) {
        Ok(note) => Ok(Some(note)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(OriginError::Socket(origins::of_socket(error))),
    }
}

fn own_addresses(config: &Config, listening: &[SocketAddr]) -> Vec<SocketAddr> {
    let peer = config.peer.as_ref().map(|peer| peer.listen);
    listening.iter().copied().chain(peer).chain(config.admin.listen).map(canonical).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
