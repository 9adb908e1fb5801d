//! Bringing the programs into the kernel.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, SkStorage, SockMap};
use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader, Pod};
use cheops_ebpf_common::{
    ABI_VERSION, Endpoint, GuardKey, GuardValue, LISTENER_V4, LISTENER_V6, Lease, MAPS, Note, Settings,
};

use super::kept::{self, Kept, PROGRAMS};
use super::{KernelError, map};
use crate::accept::Listeners;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/cheops-ebpf"));

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

/// The programs in the kernel, and their maps; none runs yet.
pub struct Loaded {
    pub programs: Ebpf,
    pub maps: Maps,
    /// The maps that an earlier agent had filled.
    pub adopted: BTreeSet<&'static str>,
    /// Every map, to be kept.
    pub kept: Vec<(String, OwnedFd)>,
}

/// Loads the programs, with the maps in `kept` as far as they are of this agent's layout. Changes nothing that runs.
///
/// # Errors
/// When this build has none, or the kernel refuses them.
pub fn load(sizes: Sizes, kept: &mut Kept) -> Result<Loaded, KernelError> {
    if !are_embedded() {
        return Err(KernelError::NoPrograms);
    }
    let mut programs = EbpfLoader::new()
        .map_max_entries("GUARDED", sizes.guarded)
        .map_max_entries("PENDING", sizes.pending)
        .map_max_entries("SESSIONS", sizes.sessions)
        .load(OBJECT)
        .map_err(|error| KernelError::Load(Box::new(error)))?;
    same_abi(&programs)?;
    // Before the programs are loaded, which is when they bind to their maps.
    let adopted = adopt(&programs, kept)?;
    for name in PROGRAMS {
        load_one(program(&mut programs, name)?).map_err(|error| KernelError::Load(Box::new(error)))?;
    }
    let kept = descriptors(&programs)?;
    let maps = Maps {
        settings: take(&mut programs, "SETTINGS")?,
        lease: take(&mut programs, "LEASE")?,
        guarded: take(&mut programs, "GUARDED")?,
        endpoints: take(&mut programs, "ENDPOINTS")?,
        sessions: take(&mut programs, "SESSIONS")?,
        notes: take(&mut programs, "NOTES")?,
        counters: take(&mut programs, "COUNTERS")?,
        listeners: take(&mut programs, "LISTENERS")?,
    };
    Ok(Loaded { programs, maps, adopted, kept })
}

fn adopt(programs: &Ebpf, kept: &mut Kept) -> Result<BTreeSet<&'static str>, KernelError> {
    const TOGETHER: [&str; 2] = ["PENDING", "PENDING_COUNT"];
    if !TOGETHER.iter().all(|name| kept.has(name)) {
        TOGETHER.iter().for_each(|name| kept.forget(name));
    }
    let mut adopted = BTreeSet::new();
    for (name, _) in MAPS {
        if kept.adopt(name, programs.map(name).ok_or_else(|| missing(name))?)? {
            adopted.insert(name);
        }
    }
    Ok(adopted)
}

fn descriptors(programs: &Ebpf) -> Result<Vec<(String, OwnedFd)>, KernelError> {
    let of = |(name, version): (&'static str, u32)| {
        let data = programs.map(name).and_then(kept::data).ok_or_else(|| missing(name))?;
        let descriptor = data.fd().as_fd().try_clone_to_owned().map_err(map(name))?;
        Ok((kept::map_name(name, version), descriptor))
    };
    MAPS.into_iter().map(of).collect()
}

/// Tells the programs where they run and who listens. With SESSIONS of an earlier agent, its processes stay in them.
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
    let sessions = u32::try_from(maps.sessions.keys().count()).unwrap_or(u32::MAX);
    let settings = Settings { netns, capacity, abi: ABI_VERSION, sessions, port6, zero: 0 };
    maps.settings.set(0, settings, 0).map_err(map("SETTINGS"))?;
    Ok(settings)
}

fn load_one(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::SkLookup(program) => program.load(),
        Program::SockOps(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
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
    T::try_from(ebpf.take_map(name).ok_or_else(|| missing(name))?).map_err(map(name))
}

fn missing(name: &'static str) -> KernelError {
    KernelError::Map { name, error: "it is not in this agent's object".into() }
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
