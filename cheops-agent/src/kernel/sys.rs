//! System calls that no crate offers: the network namespace's cookie, and some commands of bpf(2); and a call of the C
//! library's.

#![allow(unsafe_code, reason = "raw system calls; each says why it is sound")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::libc;

const SO_NETNS_COOKIE: libc::c_int = 71;

const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_UPDATE: libc::c_long = 29;
const BPF_LINK_GET_FD_BY_ID: libc::c_long = 30;
const BPF_LINK_DETACH: libc::c_long = 34;

/// The most programs that are told of one hook.
const MOST: usize = 64;

/// A hook, by its number in `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachType(pub u32);

/// The cookie of the network namespace that `socket` is in (Linux 5.14).
///
/// # Errors
/// As getsockopt(2).
pub fn netns_cookie(socket: impl AsFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `length` bytes to the eight of `cookie`; both outlive the call.
    let done = unsafe {
        libc::getsockopt(socket, libc::SOL_SOCKET, SO_NETNS_COOKIE, (&raw mut cookie).cast(), &raw mut length)
    };
    if done == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

/// Gives the system back the pages of the heap that hold nothing; whether there were any (malloc_trim(3)). Without the
/// GNU C library nothing is done.
pub fn give_back_memory() -> bool {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, and locks each arena that it looks at.
    return unsafe { libc::malloc_trim(0) } == 1;
    #[cfg(not(target_env = "gnu"))]
    false
}

/// `union bpf_attr` of BPF_PROG_QUERY.
#[repr(C)]
struct Query {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    zero: u32,
    attach_flags_each: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// The numbers of the programs at a hook of a cgroup or network namespace; with `effective`, also those that it
/// inherits from above.
///
/// # Errors
/// As bpf(2); without CAP_NET_ADMIN, EPERM.
pub fn programs_at(target: BorrowedFd<'_>, hook: AttachType, effective: bool) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; MOST];
    let mut query = Query {
        target: target.as_raw_fd() as u32,
        attach_type: hook.0,
        query_flags: u32::from(effective),
        attach_flags: 0,
        ids: (&raw mut ids) as u64,
        count: MOST as u32,
        zero: 0,
        attach_flags_each: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: the kernel reads and writes the structure, whose size is passed, and at most `count` numbers of `ids`;
    // both outlive the call.
    unsafe { bpf(BPF_PROG_QUERY, (&raw mut query).cast(), size_of::<Query>())? };
    Ok(ids.iter().take(query.count as usize).copied().collect())
}

/// Attaches a program to a hook of a cgroup or network namespace, for as long as the link is held.
///
/// # Errors
/// As bpf(2).
pub fn create_link(program: BorrowedFd<'_>, target: BorrowedFd<'_>, hook: AttachType) -> io::Result<OwnedFd> {
    let mut create = [program.as_raw_fd() as u32, target.as_raw_fd() as u32, hook.0, 0];
    // SAFETY: the kernel reads the array, whose size is passed; it outlives the call.
    let link = unsafe { bpf(BPF_LINK_CREATE, (&raw mut create).cast(), size_of_val(&create))? };
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(link as libc::c_int) })
}

/// Puts a program in the place of the link's own: every call runs the one or the other.
///
/// # Errors
/// As bpf(2); ENOLINK when the link was detached.
pub fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut update = [link.as_raw_fd() as u32, program.as_raw_fd() as u32, 0, 0];
    // SAFETY: the kernel reads the array, whose size is passed; it outlives the call.
    unsafe { bpf(BPF_LINK_UPDATE, (&raw mut update).cast(), size_of_val(&update))? };
    Ok(())
}

/// Makes `descriptor` name the file that `by` does, atomically; the file that it named is closed.
///
/// # Errors
/// As dup3(2).
pub fn replace(descriptor: BorrowedFd<'_>, by: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both descriptors are open for as long as they are borrowed, and the number stays its owner's.
    let done = unsafe { libc::dup3(by.as_raw_fd(), descriptor.as_raw_fd(), libc::O_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes a link's program off its hook, whoever holds the link.
///
/// # Errors
/// As bpf(2); without CAP_SYS_ADMIN, EPERM.
pub fn detach_link(id: u32) -> io::Result<()> {
    // The number, and the two fields behind it that the command doesn't use.
    let mut by_id = [id, 0, 0];
    // SAFETY: the kernel reads the array, whose size is passed; it outlives the call.
    let link = unsafe { bpf(BPF_LINK_GET_FD_BY_ID, (&raw mut by_id).cast(), size_of_val(&by_id))? };
    // SAFETY: the descriptor is new and nobody else's.
    let link = unsafe { OwnedFd::from_raw_fd(link as libc::c_int) };
    let mut by_fd = [link.as_raw_fd() as u32];
    // SAFETY: as above.
    unsafe { bpf(BPF_LINK_DETACH, (&raw mut by_fd).cast(), size_of_val(&by_fd))? };
    Ok(())
}

/// # Safety
/// `attr` must point to `size` bytes that are valid for the command, as must what they point to.
unsafe fn bpf(command: libc::c_long, attr: *mut libc::c_void, size: usize) -> io::Result<libc::c_long> {
    // SAFETY: the caller vouches for the arguments.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size as libc::c_uint) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}
