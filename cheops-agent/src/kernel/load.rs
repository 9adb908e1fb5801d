//! Bringing the programs into the kernel and attaching them.

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, SkStorage, SockMap};
use aya::programs::links::CgroupAttachMode;
use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader, Pod};
use cheops_ebpf_common::{
    ABI_VERSION, Endpoint, GuardKey, GuardValue, LISTENER_V4, LISTENER_V6, Lease, Note, Settings,
};

use super::tree::{Namespace, Tree};
use super::{KernelError, map};
use crate::accept::Listeners;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/cheops-ebpf"));

/// The programs, in the order in which they are attached: what tells addresses first, what takes connections last.
pub const PROGRAMS: [&str; 8] = [
    "cheops_sockops",
    "cheops_peer4",
    "cheops_peer6",
    "cheops_local4",
    "cheops_local6",
    "cheops_leave4",
    "cheops_leave6",
    "cheops_arrive",
];

/// How much the maps hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Guarded addresses.
    pub guarded: u32,
    /// Connections that are being opened and whose addresses have to be carried: those of the agent to services of this
    /// host, and native IPv6 ones that *leave* took.
    pub pending: u32,
    /// `exec` sessions.
    pub sessions: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { guarded: 16_384, pending: 65_536, sessions: 4_096 }
    }
}

/// The loaded programs' maps, as far as the agent uses them.
pub struct Maps {
    pub settings: Array<MapData, Settings>,
    pub lease: Array<MapData, Lease>,
    pub guarded: HashMap<MapData, GuardKey, GuardValue>,
    pub endpoints: HashMap<MapData, u32, Endpoint>,
    pub sessions: HashMap<MapData, u64, u32>,
    pub notes: SkStorage<MapData, Note>,
    pub counters: PerCpuArray<MapData, u64>,
    listeners: SockMap<MapData>,
}

/// Whether this build holds the programs.
pub fn are_embedded() -> bool {
    !OBJECT.is_empty()
}

/// Loads the programs; none runs yet.
///
/// # Errors
/// When this build has none, or the kernel refuses them.
pub fn load(sizes: Sizes) -> Result<(Ebpf, Maps), KernelError> {
    if !are_embedded() {
        return Err(KernelError::NoPrograms);
    }
    let mut ebpf = EbpfLoader::new()
        .map_max_entries("GUARDED", sizes.guarded)
        .map_max_entries("PENDING", sizes.pending)
        .map_max_entries("SESSIONS", sizes.sessions)
        .load(OBJECT)
        .map_err(|error| KernelError::Load(Box::new(error)))?;
    same_abi(&ebpf)?;
    for name in PROGRAMS {
        load_one(program(&mut ebpf, name)?).map_err(|error| KernelError::Load(Box::new(error)))?;
    }
    let maps = Maps {
        settings: take(&mut ebpf, "SETTINGS")?,
        lease: take(&mut ebpf, "LEASE")?,
        guarded: take(&mut ebpf, "GUARDED")?,
        endpoints: take(&mut ebpf, "ENDPOINTS")?,
        sessions: take(&mut ebpf, "SESSIONS")?,
        notes: take(&mut ebpf, "NOTES")?,
        counters: take(&mut ebpf, "COUNTERS")?,
        listeners: take(&mut ebpf, "LISTENERS")?,
    };
    Ok((ebpf, maps))
}

/// Tells the programs where they run and who listens.
///
/// # Errors
/// When a map can't be written.
pub fn fill(maps: &mut Maps, listeners: &Listeners, netns: u64, sizes: Sizes) -> Result<Settings, KernelError> {
    maps.listeners.set(LISTENER_V4, &listeners.v4, 0).map_err(map("LISTENERS"))?;
    let mut port6 = 0;
    if let Some(v6) = &listeners.v6 {
        maps.listeners.set(LISTENER_V6, v6, 0).map_err(map("LISTENERS"))?;
        let address = v6.local_addr();
        port6 = address.map_err(|error| KernelError::System { what: "the IPv6 listener", error })?.port().into();
    }
    let capacity = sizes.pending.into();
    let settings = Settings { netns, capacity, abi: ABI_VERSION, sessions: 0, port6, zero: 0 };
    maps.settings.set(0, settings, 0).map_err(map("SETTINGS"))?;
    Ok(settings)
}

/// Attaches all programs, as links: they go when `ebpf` does.
///
/// # Errors
/// When the kernel refuses one; those attached before it stay until `ebpf` is dropped.
pub fn attach(ebpf: &mut Ebpf, tree: &Tree, namespace: &Namespace) -> Result<(), KernelError> {
    for name in PROGRAMS {
        attach_one(program(ebpf, name)?, tree, namespace)
            .map_err(|error| KernelError::Attach { program: name, error: Box::new(error) })?;
    }
    Ok(())
}

fn load_one(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::SkLookup(program) => program.load(),
        Program::SockOps(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

fn attach_one(program: &mut Program, tree: &Tree, namespace: &Namespace) -> Result<(), ProgramError> {
    // `Single` means no flags. A cgroup takes several programs as links anyway, and others' stay where they are;
    // flags of any other mode are EINVAL with links (aya issues 1078 and 1060).
    let mode = CgroupAttachMode::Single;
    match program {
        Program::SkLookup(program) => program.attach(&namespace.file).map(drop),
        Program::SockOps(program) => program.attach(&tree.directory, mode).map(drop),
        Program::CgroupSockAddr(program) => program.attach(&tree.directory, mode).map(drop),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Program, KernelError> {
    let missing = || KernelError::Attach { program: name, error: "it is not in this agent's object".into() };
    ebpf.program_mut(name).ok_or_else(missing)
}

fn take<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, KernelError>
where
    T: TryFrom<Map>,
    T::Error: std::error::Error + Send + Sync + 'static,
{
    let missing = || KernelError::Map { name, error: "it is not in this agent's object".into() };
    T::try_from(ebpf.take_map(name).ok_or_else(missing)?).map_err(map(name))
}

/// The version stands in a read-only section of its own, that is a map of one word.
fn same_abi(ebpf: &Ebpf) -> Result<(), KernelError> {
    let programs = ebpf.map(".rodata.abi").and_then(read_word);
    if programs == Some(ABI_VERSION) {
        return Ok(());
    }
    Err(KernelError::Abi { programs, agent: ABI_VERSION })
}

fn read_word<V: Pod>(map: &Map) -> Option<V> {
    Array::<&MapData, V>::try_from(map).ok()?.get(&0, 0).ok()
}
