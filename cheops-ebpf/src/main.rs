//! The kernel programs: they take connections to guarded endpoints to the agent, and let both ends keep seeing each other.
//!
//! Each program's verdict is the value that it returns; on doubt a connection goes on untouched. The names of the
//! programs are those that `bpftool` shows.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod arrive;
mod count;
mod exempt;
mod leave;
mod maps;
mod peername;
mod sockops;

use aya_ebpf::macros::{cgroup_sock_addr, sk_lookup, sock_ops};
use aya_ebpf::programs::{SkLookupContext, SockAddrContext, SockOpsContext};
use cheops_ebpf_common::Ip;

pub(crate) const AF_INET: u32 = 2;
pub(crate) const AF_INET6: u32 = 10;
pub(crate) const SOCK_STREAM: u32 = 1;
pub(crate) const IPPROTO_TCP: u32 = 6;

/// `::1`.
pub(crate) const LOOPBACK6: Ip = [0, 0, 0, 1_u32.to_be()];

/// The ABI that this object was built with; the agent reads it before it attaches anything.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.abi")]
pub static CHEOPS_ABI: u32 = cheops_ebpf_common::ABI_VERSION;

#[sk_lookup]
pub fn cheops_arrive(ctx: SkLookupContext) -> u32 {
    arrive::arrive(&ctx)
}

#[cgroup_sock_addr(connect4)]
pub fn cheops_leave4(ctx: SockAddrContext) -> i32 {
    leave::connect4(&ctx)
}

#[cgroup_sock_addr(connect6)]
pub fn cheops_leave6(ctx: SockAddrContext) -> i32 {
    leave::connect6(&ctx)
}

#[cgroup_sock_addr(getpeername4)]
pub fn cheops_peer4(ctx: SockAddrContext) -> i32 {
    peername::peer4(&ctx);
    1
}

#[cgroup_sock_addr(getpeername6)]
pub fn cheops_peer6(ctx: SockAddrContext) -> i32 {
    peername::peer6(&ctx);
    1
}

#[cgroup_sock_addr(getsockname4)]
pub fn cheops_local4(ctx: SockAddrContext) -> i32 {
    peername::local4(&ctx);
    1
}

#[cgroup_sock_addr(getsockname6)]
pub fn cheops_local6(ctx: SockAddrContext) -> i32 {
    peername::local6(&ctx);
    1
}

#[sock_ops]
pub fn cheops_sockops(ctx: SockOpsContext) -> u32 {
    sockops::sockops(&ctx);
    1
}

/// The four words of a context's IPv6 address, each by its own 32-bit load: wider ones are refused for some fields.
///
/// # Safety
/// `from` must be a field of a context that the program may read.
#[inline(always)]
pub(crate) unsafe fn words(from: *const Ip) -> Ip {
    let from = from.cast::<u32>();
    // SAFETY: the caller vouches for the field.
    unsafe {
        [from.read_volatile(), from.add(1).read_volatile(), from.add(2).read_volatile(), from.add(3).read_volatile()]
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic; the verifier would refuse a program that reaches this.
    loop {}
}

/// The kernel offers some helpers only to programs under the GPL; none of those is used.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 11] = *b"Apache-2.0\0";
