//! What outlives an agent: maps and links, by names that say what they are.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{Map, MapData, MapInfo};
use cheops_ebpf_common::MAPS;

use super::{KernelError, sys};

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

/// Maps and links that an agent before this one left, in systemd's store or by handing them on.
#[derive(Debug, Default)]
pub struct Kept {
    maps: BTreeMap<&'static str, OwnedFd>,
    pub(super) links: BTreeMap<&'static str, OwnedFd>,
}

/// What a map is called while no agent holds it.
pub fn map_name(map: &str, version: u32) -> String {
    format!("abi{version}-map-{map}")
}

/// What a program's link is called while no agent holds it.
pub fn link_name(program: &str) -> String {
    format!("link-{program}")
}

impl Kept {
    /// Takes a descriptor up, if its name is a map's of this agent's layout, or a link's.
    ///
    /// # Errors
    /// The descriptor, if it is of no use here.
    pub fn take(&mut self, name: &str, descriptor: OwnedFd) -> Result<(), OwnedFd> {
        let map = MAPS.iter().find(|(map, version)| map_name(map, *version) == name);
        let link = PROGRAMS.iter().find(|program| link_name(program) == name);
        let before = match (map, link) {
            (Some((map, _)), _) => self.maps.insert(map, descriptor),
            (None, Some(program)) => self.links.insert(program, descriptor),
            (None, None) => return Err(descriptor),
        };
        before.map_or(Ok(()), Err)
    }

    /// Puts a kept map in the place of one that was just made, before any program uses it. False when there is none, or
    /// it is another kind of map.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn adopt(&mut self, name: &'static str, made: &Map) -> Result<bool, KernelError> {
        let Some(kept) = self.maps.remove(name) else { return Ok(false) };
        let Some(made) = data(made) else { return Ok(false) };
        if !is_alike(&kept, made) {
            tracing::warn!(map = name, "the map that was kept is another kind of map, and is made anew");
            return Ok(false);
        }
        let what = "can't take a kept map up";
        sys::replace(made.fd().as_fd(), kept.as_fd()).map_err(|error| KernelError::System { what, error })?;
        Ok(true)
    }

    /// Forgets a map that can't be used without another one.
    pub(super) fn forget(&mut self, name: &str) {
        self.maps.remove(name);
    }

    /// Whether the map was kept.
    pub(super) fn has(&self, name: &str) -> bool {
        self.maps.contains_key(name)
    }
}

/// Whether the descriptor is a map just as `made` is.
fn is_alike(kept: &OwnedFd, made: &MapData) -> bool {
    let of = |info: MapInfo| {
        (info.map_type().ok(), info.key_size(), info.value_size(), info.max_entries(), info.map_flags())
    };
    let Ok(kept) = kept.try_clone().map(MapData::from_fd) else { return false };
    let kept = kept.and_then(|kept| kept.info()).map(of);
    matches!((kept, made.info().map(of)), (Ok(kept), Ok(made)) if kept == made)
}

/// The map's data, of the kinds that there are here.
pub(super) fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::SkStorage(data) | Map::SockMap(data) => {
            Some(data)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn descriptor() -> OwnedFd {
        File::open("/dev/null").expect("it is there").into()
    }

    #[test]
    fn maps_of_this_layout_and_links_are_taken_and_nothing_else() {
        let mut kept = Kept::default();
        let (lease, version) = MAPS[1];
        for (name, taken) in [
            (map_name(lease, version).as_str(), true),
            (&map_name(lease, version + 1), false),
            (&map_name("OTHERS", version), false),
            (&link_name("cheops_leave4"), true),
            (&link_name("cheops_other"), false),
            ("listener-v4", false),
            ("", false),
        ] {
            assert_eq!(kept.take(name, descriptor()).is_ok(), taken, "{name}");
        }
        assert!(kept.has("LEASE") && kept.links.contains_key("cheops_leave4"));
        assert!(kept.take("abi1-map-LEASE", descriptor()).is_err(), "the second of a name");
    }

    #[test]
    fn names_stay_what_they_are() {
        assert_eq!(map_name("LEASE", 1), "abi1-map-LEASE");
        assert_eq!(link_name("cheops_leave4"), "link-cheops_leave4");
    }
}
