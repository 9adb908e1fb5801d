//! Connections of the agent itself, which no program may take.

use aya_ebpf::bindings::bpf_sock;
use cheops_ebpf_common::AGENT_MARK;

/// For programs that see the opening socket: the agent marks its own.
#[inline(always)]
pub fn by_mark(socket: *mut bpf_sock) -> bool {
    // SAFETY: the context's own socket, not null (the callers look).
    unsafe { (*socket).mark == AGENT_MARK }
}

/// For `arrive`, which sees neither mark nor process: a connection of this host to itself belongs to `leave` or to the
/// agent. Its ends are the same address, or its source is a loopback address.
#[inline(always)]
pub fn by_address(local: &[u8; 16], remote: &[u8; 16]) -> bool {
    same(local, remote) || is_loopback(remote)
}

/// 127.0.0.0/8 or ::1.
#[inline(always)]
pub fn is_loopback(address: &[u8; 16]) -> bool {
    let (high, low) = halves(address);
    high == 0 && (low == 1 || low >> 24 == 0x0000_ffff_7f)
}

#[inline(always)]
pub fn same(a: &[u8; 16], b: &[u8; 16]) -> bool {
    halves(a) == halves(b)
}

#[inline(always)]
fn halves(address: &[u8; 16]) -> (u64, u64) {
    let whole = u128::from_be_bytes(*address);
    ((whole >> 64) as u64, whole as u64)
}
