//! `connect4`, `connect6`: a process of the tree opens a TCP connection. One to a guarded endpoint is sent to the agent.
//!
//! The destination becomes `127.64.x.y` (IPv4-mapped on an IPv6 socket), which carries the endpoint's number, with the
//! `exec` session as its port. Native IPv6 has no such range: it goes to `[::1]` at the agent, and what the address
//! can't carry goes by the sockets (see `sockops`).

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::helpers::generated::bpf_setsockopt;
use aya_ebpf::programs::SockAddrContext;
use cheops_ebpf_common::{
    Count, GUARD_REFUSE, GuardValue, Ip, LISTENER_V4, LISTENER_V6, Loopback, NOTE_ANNOUNCED, NOTE_LEFT, Note, Settings,
    ipv4_of, is_steered, mapped,
};

use crate::count::count;
use crate::{IPPROTO_TCP, LOOPBACK6, SOCK_STREAM, exempt, maps, words};

/// The verdicts of `connect4` and `connect6`: go on, or EPERM.
pub const GO_ON: i32 = 1;
pub const REFUSE: i32 = 0;

/// 127.0.0.1, where a connection to 0.0.0.0 goes.
const LOOPBACK4: u32 = 0x7f00_0001;
/// The interface number of `lo`, the same in every network namespace.
const LO: u32 = 1;
const SOL_SOCKET: i32 = 1;
const SO_BINDTOIFINDEX: i32 = 62;

/// A destination, and how it is written back.
#[derive(Clone, Copy)]
struct Destination {
    address: Ip,
    port: u16,
    /// Whether the socket is an IPv6 one.
    v6_socket: bool,
}

/// `connect4`.
#[inline(always)]
pub fn connect4(ctx: &SockAddrContext) -> i32 {
    // SAFETY: the context's fields may be read.
    let (address, port) = unsafe { ((*ctx.sock_addr).user_ip4, (*ctx.sock_addr).user_port) };
    let address = match u32::from_be(address) {
        0 => LOOPBACK4,
        address => address,
    };
    connect(ctx, Destination { address: mapped(address), port: u16::from_be(port as u16), v6_socket: false })
}

/// `connect6`.
#[inline(always)]
pub fn connect6(ctx: &SockAddrContext) -> i32 {
    // SAFETY: the context's fields may be read.
    let (address, port) = unsafe { (words(&raw const (*ctx.sock_addr).user_ip6), (*ctx.sock_addr).user_port) };
    let address = if exempt::same(&address, &[0; 4]) {
        LOOPBACK6
    } else if ipv4_of(&address) == Some(0) {
        mapped(LOOPBACK4)
    } else {
        address
    };
    connect(ctx, Destination { address, port: u16::from_be(port as u16), v6_socket: true })
}

#[inline(always)]
fn connect(ctx: &SockAddrContext, to: Destination) -> i32 {
    // SAFETY: the context's fields may be read.
    let (kind, protocol, socket) =
        unsafe { ((*ctx.sock_addr).type_, (*ctx.sock_addr).protocol, (*ctx.sock_addr).__bindgen_anon_1.sk) };
    if kind != SOCK_STREAM || protocol != IPPROTO_TCP || socket.is_null() {
        return GO_ON;
    }
    let Some(settings) = maps::settings(ctx) else { return GO_ON };
    if exempt::by_mark(socket) {
        return exempted(settings, socket);
    }
    if ipv4_of(&to.address).is_some_and(is_steered) {
        count(Count::LeaveNamed);
        return REFUSE;
    }
    match maps::guarded(settings.netns, to.address, to.port) {
        Some(endpoint) => take(ctx, settings, socket, to, endpoint),
        None => {
            // A socket may be connected again, elsewhere; what was noted of its last connection would be wrong.
            maps::forget(socket);
            count(Count::LeaveUnguarded);
            GO_ON
        }
    }
}

/// A connection of the agent. With a client to announce it needs room in PENDING; the service must never be shown
/// another client or none.
#[inline(always)]
fn exempted(settings: &Settings, socket: *mut bpf_sock) -> i32 {
    if maps::note(socket).is_some_and(|note| note.kind == NOTE_ANNOUNCED) && !maps::pending_room(settings) {
        count(Count::AnnounceFull);
        return REFUSE;
    }
    count(Count::LeaveExempt);
    GO_ON
}

#[inline(always)]
fn take(
    ctx: &SockAddrContext,
    settings: &Settings,
    socket: *mut bpf_sock,
    to: Destination,
    endpoint: GuardValue,
) -> i32 {
    let session = maps::session(settings);
    let ipv4 = ipv4_of(&to.address).is_some();
    let listener = if ipv4 { LISTENER_V4 } else { LISTENER_V6 };
    if !maps::taking(listener) || !ipv4 && settings.port6 == 0 {
        return stale(session, endpoint.flags);
    }
    // SAFETY: the context's own socket.
    let device = unsafe { (*socket).bound_dev_if };
    if device != 0 && device != LO {
        // The agent is not behind that device: the connection would time out.
        if !unbind(ctx) {
            let refuse = session != 0;
            count(if refuse { Count::LeaveBoundRefused } else { Count::LeaveBoundPassed });
            return if refuse { REFUSE } else { GO_ON };
        }
        count(Count::LeaveUnbound);
    }
    if ipv4 {
        redirect(ctx, to.v6_socket, Loopback { number: endpoint.number, session });
        count(Count::LeaveTaken);
        GO_ON
    } else {
        redirect6(ctx, settings, socket, to, Loopback { number: endpoint.number, session })
    }
}

/// Nobody takes connections now. An `exec` session's process is refused rather than served without its scope.
#[inline(always)]
fn stale(session: u16, flags: u32) -> i32 {
    if session != 0 {
        count(Count::LeaveSessionRefused);
        REFUSE
    } else if flags & GUARD_REFUSE != 0 {
        count(Count::LeaveStaleRefused);
        REFUSE
    } else {
        count(Count::LeaveStalePassed);
        GO_ON
    }
}

#[inline(always)]
fn unbind(ctx: &SockAddrContext) -> bool {
    let mut none = 0_i32;
    // SAFETY: the option takes an int, and that many bytes are named.
    let set = unsafe {
        bpf_setsockopt(
            ctx.sock_addr.cast(),
            SOL_SOCKET,
            SO_BINDTOIFINDEX,
            (&raw mut none).cast(),
            size_of::<i32>() as i32,
        )
    };
    set == 0
}

#[inline(always)]
fn redirect(ctx: &SockAddrContext, v6_socket: bool, to: Loopback) {
    // SAFETY: these fields may be written, each by its own 32-bit store.
    unsafe {
        if v6_socket {
            write6(ctx, mapped(to.address()));
        } else {
            (&raw mut (*ctx.sock_addr).user_ip4).write_volatile(to.address().to_be());
        }
        (&raw mut (*ctx.sock_addr).user_port).write_volatile(u32::from(to.port().to_be()));
    }
}

#[inline(always)]
fn redirect6(ctx: &SockAddrContext, settings: &Settings, socket: *mut bpf_sock, to: Destination, by: Loopback) -> i32 {
    if !maps::pending_room(settings) {
        count(Count::LeaveFull);
        return REFUSE;
    }
    let note =
        Note { address: to.address, kind: NOTE_LEFT, number: by.number, port: to.port, session: by.session, zero: 0 };
    if !maps::keep(socket, &note) {
        count(Count::NoMemory);
        return REFUSE;
    }
    // SAFETY: these fields may be written, each by its own 32-bit store.
    unsafe {
        write6(ctx, LOOPBACK6);
        (&raw mut (*ctx.sock_addr).user_port).write_volatile(u32::from((settings.port6 as u16).to_be()));
    }
    count(Count::LeaveTakenV6);
    GO_ON
}

/// Writes an IPv6 address where the process will find it.
///
/// # Safety
/// The program must be one that may write it.
#[inline(always)]
pub unsafe fn write6(ctx: &SockAddrContext, address: Ip) {
    let [a, b, c, d] = address;
    // SAFETY: the caller vouches. Plain stores could be merged into a wider one, which the verifier refuses.
    unsafe {
        let to = (&raw mut (*ctx.sock_addr).user_ip6).cast::<u32>();
        to.write_volatile(a);
        to.add(1).write_volatile(b);
        to.add(2).write_volatile(c);
        to.add(3).write_volatile(d);
    }
}
