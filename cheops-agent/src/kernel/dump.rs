//! The maps as JSON, read from outside of the agent that made them.

use std::collections::BTreeMap;

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use cheops_ebpf_common::{Endpoint, GUARD_OWN, GUARD_REFUSE, GuardKey, GuardValue, Lease, Note, Pair, Settings};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::tree::{Namespace, Tree};
use super::{KernelError, counters, form, found, map};
use crate::address::canonical_ip;
use crate::config::Config;

/// Everything in the maps of the programs that run for this configuration's cgroup tree and this network namespace.
///
/// # Errors
/// When no such program runs, or its maps can't be read (that takes CAP_SYS_ADMIN).
pub fn dump_maps(config: &Config) -> Result<Value, KernelError> {
    let tree = Tree::open(&config.intercept.cgroup)?;
    let namespace = Namespace::own()?;
    let what = "can't ask for attached programs";
    let programs = found::own(&tree, &namespace).map_err(|error| KernelError::System { what, error })?;
    if programs.is_empty() {
        return Err(KernelError::NoneFound(tree.path));
    }
    let attached: Vec<Value> = programs
        .iter()
        .map(|program| json!({ "hook": program.hook, "program": program.name, "id": program.id }))
        .collect();
    let maps: BTreeMap<String, u32> = programs.into_iter().flat_map(|program| program.maps).collect();
    Ok(json!({
        "programs": attached,
        "settings": settings(&open(&maps, "SETTINGS")?)?,
        "lease": lease(&open(&maps, "LEASE")?)?,
        "guarded": guarded(&open(&maps, "GUARDED")?)?,
        "endpoints": endpoints(&open(&maps, "ENDPOINTS")?)?,
        "sessions": sessions(&open(&maps, "SESSIONS")?)?,
        "pending": pending(&open(&maps, "PENDING")?)?,
        "counters": counted(open(&maps, "COUNTERS")?)?,
    }))
}

fn open(maps: &BTreeMap<String, u32>, name: &'static str) -> Result<Map, KernelError> {
    let missing = || KernelError::Map { name, error: "it is not among the programs' maps".into() };
    let data = MapData::from_id(*maps.get(name).ok_or_else(missing)?).map_err(map(name))?;
    Map::from_map_data(data).map_err(map(name))
}

fn settings(from: &Map) -> Result<Value, KernelError> {
    let array = Array::<_, Settings>::try_from(from).map_err(map("SETTINGS"))?;
    let Settings { netns, capacity, abi, sessions, port6, .. } = array.get(&0, 0).map_err(map("SETTINGS"))?;
    Ok(json!({ "abi": abi, "netns": netns, "ipv6-port": port6, "pending-capacity": capacity, "sessions": sessions }))
}

fn lease(from: &Map) -> Result<Value, KernelError> {
    let array = Array::<_, Lease>::try_from(from).map_err(map("LEASE"))?;
    let until = array.get(&0, 0).map_err(map("LEASE"))?.until;
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(std::time::Duration::from).unwrap_or_default();
    let left = i128::from(until) - i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
    let left = i64::try_from(left / 1_000_000).unwrap_or(i64::MIN);
    Ok(json!({ "until-ns": until, "left-ms": left, "fresh": left > 0 }))
}

fn guarded(from: &Map) -> Result<Vec<Value>, KernelError> {
    let hash = HashMap::<_, GuardKey, GuardValue>::try_from(from).map_err(map("GUARDED"))?;
    each(&hash, "GUARDED", |key, value| {
        json!({
            "netns": key.netns,
            "address": form::address(key.address, key.port),
            "number": value.number,
            "own": value.flags & GUARD_OWN != 0,
            "when-agent-down": if value.flags & GUARD_REFUSE != 0 { "refuse" } else { "pass" },
        })
    })
}

fn endpoints(from: &Map) -> Result<Vec<Value>, KernelError> {
    let hash = HashMap::<_, u32, Endpoint>::try_from(from).map_err(map("ENDPOINTS"))?;
    each(&hash, "ENDPOINTS", |number, endpoint| {
        let source = form::plain(endpoint.source);
        json!({
            "number": number,
            "address": form::address(endpoint.address, endpoint.port),
            "source": (!source.is_unspecified()).then(|| canonical_ip(source)),
        })
    })
}

fn sessions(from: &Map) -> Result<Vec<Value>, KernelError> {
    let hash = HashMap::<_, u64, u32>::try_from(from).map_err(map("SESSIONS"))?;
    each(&hash, "SESSIONS", |cgroup, session| json!({ "cgroup": cgroup, "session": session }))
}

fn pending(from: &Map) -> Result<Vec<Value>, KernelError> {
    let hash = HashMap::<_, Pair, Note>::try_from(from).map_err(map("PENDING"))?;
    each(&hash, "PENDING", |pair, note| {
        json!({
            "local": form::address(pair.local, pair.local_port),
            "remote": form::address(pair.remote, pair.remote_port),
            "kind": note.kind,
            "address": form::address(note.address, note.port),
            "session": note.session,
        })
    })
}

fn counted(from: Map) -> Result<Vec<Value>, KernelError> {
    let array = PerCpuArray::<MapData, u64>::try_from(from).map_err(map("COUNTERS"))?;
    let all = counters::read(&array)?;
    Ok(all.into_iter().map(|(hook, what, count)| json!({ "hook": hook, "what": what, "count": count })).collect())
}

fn each<K: aya::Pod, V: aya::Pod>(
    hash: &HashMap<&MapData, K, V>,
    name: &'static str,
    show: impl Fn(K, V) -> Value,
) -> Result<Vec<Value>, KernelError> {
    hash.iter().map(|entry| entry.map(|(key, value)| show(key, value)).map_err(map(name))).collect()
}
