//! Connections of the agent itself, which no program may take.

use aya_ebpf::bindings::bpf_sock;
use cheops_ebpf_common::{AGENT_MARK, Ip, ipv4_of};

use crate::LOOPBACK6;

/// For programs that see the opening socket: the agent marks its own.
#[inline(always)]
pub fn by_mark(socket: *mut bpf_sock) -> bool {
    // SAFETY: the context's own socket, not null (the callers look).
    unsafe { (*socket).mark == AGENT_MARK }
}

/// For `arrive`, which sees neither mark nor process: a connection of this host to itself belongs to `leave` or to the
/// agent. Its ends are the same address, or its source is a loopback address.
#[inline(always)]
pub fn by_address(local: &Ip, remote: &Ip) -> bool {
    same(local, remote) || is_loopback(remote)
}

/// 127.0.0.0/8 or ::1.
#[inline(always)]
pub fn is_loopback(ip: &Ip) -> bool {
    match ipv4_of(ip) {
        Some(ipv4) => ipv4 >> 24 == 127,
        None => same(ip, &LOOPBACK6),
    }
}

/// Word by word: comparing whole arrays is a call.
#[inline(always)]
pub fn same(a: &Ip, b: &Ip) -> bool {
    a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3]
}
