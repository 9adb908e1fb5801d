//! The maps, and the few questions that every program asks them.

use core::arch::asm;
use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock};
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray, SkStorage, SockMap};
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_get_netns_cookie, bpf_ktime_get_boot_ns,
    bpf_map_lookup_elem, bpf_sk_release, bpf_sk_storage_delete, bpf_sk_storage_get,
};
use aya_ebpf::macros::btf_map;
use cheops_ebpf_common::{Count, Endpoint, GuardKey, GuardValue, Ip, Lease, Note, Pair, Settings};

/// How deep below a session's own cgroup a process may be and still belong to it. Also the depth of cgroups looked at.
const CGROUP_LEVELS: i32 = 16;

#[btf_map]
pub static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map]
pub static LEASE: Array<Lease, 1> = Array::new();
#[btf_map]
pub static GUARDED: HashMap<GuardKey, GuardValue, 16384> = HashMap::new();
#[btf_map]
pub static ENDPOINTS: HashMap<u32, Endpoint, 65536, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
#[btf_map]
pub static SESSIONS: HashMap<u64, u32, 4096> = HashMap::new();
#[btf_map]
pub static LISTENERS: SockMap<2> = SockMap::new();
#[btf_map]
pub static PENDING: HashMap<Pair, Note, 65536, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
/// Entries of PENDING, which the kernel does not tell.
#[btf_map]
pub static PENDING_COUNT: Array<u64, 1> = Array::new();
#[btf_map]
pub static NOTES: SkStorage<Note> = SkStorage::new();
#[btf_map]
pub static COUNTERS: PerCpuArray<u64, { Count::ALL.len() }> = PerCpuArray::new();

/// The settings, if the program runs for the agent's own network namespace.
#[inline(always)]
pub fn settings(ctx: &impl EbpfContext) -> Option<&'static Settings> {
    let settings = own_settings()?;
    // SAFETY: every program type that calls this has the helper, and the context is the program's own.
    let netns = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) };
    (netns == settings.netns).then_some(settings)
}

/// The settings, for programs that are attached to one network namespace.
#[inline(always)]
pub fn own_settings() -> Option<&'static Settings> {
    SETTINGS.get(0).filter(|settings| settings.netns != 0)
}

/// Whether the lease is fresh and somebody listens at `listener`.
#[inline(always)]
pub fn taking(listener: u32) -> bool {
    // SAFETY: the helper takes nothing.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    LEASE.get(0).is_some_and(|lease| lease.until > now) && listening(listener)
}

#[inline(always)]
fn listening(listener: u32) -> bool {
    // SAFETY: the map is a SOCKMAP with u32 keys; the socket that comes back is released at once.
    unsafe {
        let found = bpf_map_lookup_elem((&raw const LISTENERS).cast_mut().cast(), (&raw const listener).cast());
        if found.is_null() {
            return false;
        }
        bpf_sk_release(found);
    }
    true
}

/// The `exec` session of the calling process: that of its cgroup, or of the nearest one above. 0 is none.
#[inline(always)]
pub fn session(settings: &Settings) -> u16 {
    if settings.sessions == 0 {
        return 0;
    }
    // SAFETY: the helper takes nothing.
    let mut found = session_of(unsafe { bpf_get_current_cgroup_id() });
    let mut level = 1;
    let mut above = 0;
    while level <= CGROUP_LEVELS {
        // SAFETY: the helper takes a level; beyond the process's own it answers 0.
        let cgroup = unsafe { bpf_get_current_ancestor_cgroup_id(level) };
        if cgroup == 0 {
            break;
        }
        let session = session_of(cgroup);
        if session != 0 {
            above = session;
        }
        level += 1;
    }
    if found == 0 {
        found = above;
    }
    found
}

#[inline(always)]
fn session_of(cgroup: u64) -> u16 {
    // SAFETY: the value is copied out at once.
    unsafe { SESSIONS.get(cgroup) }.map_or(0, |session| *session as u16)
}

/// The guarded endpoint at an address.
#[inline(always)]
pub fn guarded(netns: u64, address: Ip, port: u16) -> Option<GuardValue> {
    let key = GuardKey { netns, address, port: port.into(), zero: 0 };
    // SAFETY: the value is copied out at once.
    unsafe { GUARDED.get(key) }.copied()
}

/// What is known of a socket.
#[inline(always)]
pub fn note(socket: *mut bpf_sock) -> Option<&'static mut Note> {
    // SAFETY: NOTES is socket storage of Note; the socket is the program's own and not null (the callers look).
    unsafe { bpf_sk_storage_get(notes(), socket.cast(), core::ptr::null_mut(), 0).cast::<Note>().as_mut() }
}

/// Keeps `note` with a socket, instead of what was known. False when there is no memory.
#[inline(always)]
pub fn keep(socket: *mut bpf_sock, note: &Note) -> bool {
    let mut first = *note;
    let create = BPF_SK_STORAGE_GET_F_CREATE as u64;
    // SAFETY: as in `note`; the value to begin with is copied by the kernel.
    let kept =
        unsafe { bpf_sk_storage_get(notes(), socket.cast(), (&raw mut first).cast(), create).cast::<Note>().as_mut() };
    match kept {
        Some(kept) => {
            *kept = *note;
            true
        }
        None => false,
    }
}

/// Forgets what is known of a socket.
#[inline(always)]
pub fn forget(socket: *mut bpf_sock) {
    // SAFETY: as in `note`.
    unsafe { bpf_sk_storage_delete(notes(), socket.cast()) };
}

#[inline(always)]
fn notes() -> *mut c_void {
    (&raw const NOTES).cast_mut().cast()
}

/// Whether PENDING has room for one more.
#[inline(always)]
pub fn pending_room(settings: &Settings) -> bool {
    PENDING_COUNT.get(0).is_some_and(|count| *count < settings.capacity)
}

/// Enters a connection that is being opened. False when there was no room or memory.
#[inline(always)]
pub fn pend(pair: &Pair, note: &Note) -> bool {
    const NOEXIST: u64 = 1;
    const EXIST: u64 = 2;
    if PENDING.insert(pair, note, NOEXIST).is_ok() {
        pending_add(1);
        return true;
    }
    PENDING.insert(pair, note, EXIST).is_ok()
}

/// Takes a connection out again.
#[inline(always)]
pub fn unpend(pair: &Pair) {
    if PENDING.remove(pair).is_ok() {
        pending_add(u64::MAX);
    }
}

#[inline(always)]
fn pending_add(delta: u64) {
    if let Some(count) = PENDING_COUNT.get_ptr_mut(0) {
        // SAFETY: the slot is aligned and lives as long as the map. BPF's atomic addition, which core's atomics don't
        // offer for this target (it has no compare-and-swap in its first version).
        unsafe { asm!("lock *(u64 *)({count} + 0) += {delta}", count = in(reg) count, delta = in(reg) delta) };
    }
}
