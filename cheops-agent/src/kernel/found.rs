//! Programs that are attached where this configuration's are, of this agent, a dead one, or others.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;

use aya::maps::{Array, Map, MapData, MapInfo};
use aya::programs::{ProgramInfo, loaded_programs};
use cheops_ebpf_common::Settings;

use super::sys::{self, AttachType};
use super::tree::{Namespace, Tree};

/// Every hook that Cheops uses: its name for people, its number in `enum bpf_attach_type`.
pub const HOOKS: [(&str, AttachType); 8] = [
    ("sk_lookup", AttachType(36)),
    ("cgroup/connect4", AttachType(10)),
    ("cgroup/connect6", AttachType(11)),
    ("cgroup/getpeername4", AttachType(29)),
    ("cgroup/getpeername6", AttachType(30)),
    ("cgroup/getsockname4", AttachType(31)),
    ("cgroup/getsockname6", AttachType(32)),
    ("sock_ops", AttachType(3)),
];

/// How the names of Cheops's programs begin.
const OWN: &str = "cheops_";

/// A program at one of the hooks.
pub struct Found {
    pub hook: &'static str,
    pub id: u32,
    /// Empty when it can't be told (that takes CAP_SYS_ADMIN).
    pub name: String,
    /// Its maps, by name.
    pub maps: BTreeMap<String, u32>,
    /// Whether this process attached it.
    held: bool,
}

impl Found {
    /// Whether it is Cheops's, of whichever agent. Where names can't be told, only this process's own are known.
    pub fn is_cheops(&self) -> bool {
        self.held || self.name.starts_with(OWN)
    }

    /// The network namespace that it works for, if it is Cheops's and can be told.
    pub fn netns(&self) -> Option<u64> {
        let data = MapData::from_id(*self.maps.get("SETTINGS")?).ok()?;
        let map = Map::from_map_data(data).ok()?;
        let settings = Array::<_, Settings>::try_from(&map).ok()?.get(&0, 0).ok()?;
        Some(settings.netns)
    }
}

/// The programs at all hooks of the tree and the namespace; with `effective`, also those that the tree inherits.
///
/// # Errors
/// Without CAP_NET_ADMIN.
pub fn programs(tree: &Tree, namespace: &Namespace, effective: bool) -> io::Result<Vec<Found>> {
    let mut ids: Vec<(&'static str, u32)> = Vec::new();
    for (name, hook) in HOOKS {
        let (target, effective) = match name {
            // A network namespace inherits nothing, and the kernel refuses the question.
            "sk_lookup" => (namespace.file.as_fd(), false),
            _ => (tree.directory.as_fd(), effective),
        };
        ids.extend(sys::programs_at(target, hook, effective)?.into_iter().map(|id| (name, id)));
    }
    let wanted: BTreeSet<u32> = ids.iter().map(|(_, id)| *id).collect();
    let (known, held) = (describe(&wanted), held());
    Ok(ids
        .into_iter()
        .map(|(hook, id)| {
            let (name, maps) = known.get(&id).cloned().unwrap_or_default();
            Found { hook, id, name, maps, held: held.contains(&id) }
        })
        .collect())
}

/// Those of Cheops that work for this namespace.
///
/// # Errors
/// Without CAP_NET_ADMIN and CAP_SYS_ADMIN: whose a program is that is attached can't be told then.
pub fn own(tree: &Tree, namespace: &Namespace) -> io::Result<Vec<Found>> {
    let mut found = programs(tree, namespace, false)?;
    if found.iter().any(|program| program.name.is_empty() && !program.held) {
        let why = "the kernel tells only CAP_SYS_ADMIN which programs these are, and the agent's unit doesn't have it; \
                   run this as root, by itself";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    found.retain(|program| program.is_cheops() && program.netns() == Some(namespace.cookie));
    Ok(found)
}

/// Names and maps, as far as the kernel tells.
fn describe(wanted: &BTreeSet<u32>) -> BTreeMap<u32, (String, BTreeMap<String, u32>)> {
    loaded_programs()
        .filter_map(Result::ok)
        .filter(|program| wanted.contains(&program.id()))
        .map(|program| (program.id(), (program.name_as_str().unwrap_or_default().to_owned(), maps_of(&program))))
        .collect()
}

fn maps_of(program: &ProgramInfo) -> BTreeMap<String, u32> {
    let ids = program.map_ids().ok().flatten().unwrap_or_default();
    ids.into_iter()
        .filter_map(|id| {
            let info = MapInfo::from_id(id).ok()?;
            Some((info.name_as_str()?.to_owned(), id))
        })
        .collect()
}

/// The programs that this process holds by a descriptor, its own or its link's.
fn held() -> BTreeSet<u32> {
    let descriptors = std::fs::read_dir("/proc/self/fdinfo").into_iter().flatten().flatten();
    let infos = descriptors.filter_map(|descriptor| std::fs::read_to_string(descriptor.path()).ok());
    infos.filter_map(|info| info.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())).collect()
}
