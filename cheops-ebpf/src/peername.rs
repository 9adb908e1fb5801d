//! `getpeername` and `getsockname`: both ends keep seeing each other, as if the agent weren't there.
//!
//! A client that `leave` took is told the address that it named and the source that its route would have given. A
//! service that the agent connected to is told the true client, by `accept` too. The agent's own sockets are left alone.

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::programs::SockAddrContext;
use cheops_ebpf_common::{Endpoint, Ip, MAX_NUMBER, NOTE_CLIENT, NOTE_LEFT, Settings, ipv4_of, is_steered, mapped};

use crate::leave::write6;
use crate::maps::{ENDPOINTS, note, settings};
use crate::{LOOPBACK6, exempt, words};

/// `getpeername4`, and `accept` on an IPv4 socket.
#[inline(always)]
pub fn peer4(ctx: &SockAddrContext) {
    // SAFETY: the context's fields may be read.
    let address = u32::from_be(unsafe { (*ctx.sock_addr).user_ip4 });
    if let Some((address, port)) = peer(ctx, mapped(address)) {
        set4(ctx, address, Some(port));
    }
}

/// `getpeername6`, and `accept` on an IPv6 socket.
#[inline(always)]
pub fn peer6(ctx: &SockAddrContext) {
    // SAFETY: the context's fields may be read.
    let address = unsafe { words(&raw const (*ctx.sock_addr).user_ip6) };
    if let Some((address, port)) = peer(ctx, address) {
        set6(ctx, address, Some(port));
    }
}

/// `getsockname4`.
#[inline(always)]
pub fn local4(ctx: &SockAddrContext) {
    // SAFETY: the context's fields may be read.
    let address = u32::from_be(unsafe { (*ctx.sock_addr).user_ip4 });
    if let Some(source) = source(ctx, mapped(address)) {
        set4(ctx, source, None);
    }
}

/// `getsockname6`.
#[inline(always)]
pub fn local6(ctx: &SockAddrContext) {
    // SAFETY: the context's fields may be read.
    let address = unsafe { words(&raw const (*ctx.sock_addr).user_ip6) };
    if let Some(source) = source(ctx, address) {
        set6(ctx, source, None);
    }
}

/// What to tell instead of the other end's `address`.
#[inline(always)]
fn peer(ctx: &SockAddrContext, address: Ip) -> Option<(Ip, u16)> {
    let settings = settings(ctx)?;
    if let Some(ip) = ipv4_of(&address).filter(|ip| is_steered(*ip)) {
        let endpoint = endpoint(ip & MAX_NUMBER)?;
        return Some((endpoint.address, endpoint.port as u16));
    }
    let socket = socket(ctx)?;
    let note = note(socket)?;
    let told = match note.kind {
        NOTE_CLIENT => true,
        NOTE_LEFT => is_agent6(settings, socket),
        _ => false,
    };
    told.then_some((note.address, note.port))
}

/// What to tell instead of this end's `address`: the source that the route to the original destination gives. A source
/// that the process chose itself stays.
#[inline(always)]
fn source(ctx: &SockAddrContext, address: Ip) -> Option<Ip> {
    if !exempt::is_loopback(&address) {
        return None;
    }
    let settings = settings(ctx)?;
    let socket = socket(ctx)?;
    // SAFETY: the context's own socket.
    let remote = u32::from_be(unsafe { (*socket).dst_ip4 });
    let number = if is_steered(remote) {
        remote & MAX_NUMBER
    } else {
        note(socket).filter(|note| note.kind == NOTE_LEFT && is_agent6(settings, socket))?.number
    };
    let source = endpoint(number)?.source;
    (!exempt::same(&source, &[0; 4])).then_some(source)
}

#[inline(always)]
fn endpoint(number: u32) -> Option<&'static Endpoint> {
    // SAFETY: entries are never removed while programs run, and changed only to a newer source.
    unsafe { ENDPOINTS.get(number) }
}

/// Whether the socket's other end is the agent's IPv6 listener; else what was noted is of an earlier connection.
#[inline(always)]
fn is_agent6(settings: &Settings, socket: *mut bpf_sock) -> bool {
    // SAFETY: the context's own socket.
    let (address, port) = unsafe { (words(&raw const (*socket).dst_ip6), (*socket).dst_port) };
    u32::from(u16::from_be(port)) == settings.port6 && exempt::same(&address, &LOOPBACK6)
}

#[inline(always)]
fn socket(ctx: &SockAddrContext) -> Option<*mut bpf_sock> {
    // SAFETY: the context's fields may be read.
    let socket = unsafe { (*ctx.sock_addr).__bindgen_anon_1.sk };
    (!socket.is_null()).then_some(socket)
}

/// An IPv6 address can't be told on an IPv4 socket; then the truth of the wire stays.
#[inline(always)]
fn set4(ctx: &SockAddrContext, address: Ip, port: Option<u16>) {
    let Some(address) = ipv4_of(&address) else { return };
    // SAFETY: these fields may be written, each by its own 32-bit store.
    unsafe {
        (&raw mut (*ctx.sock_addr).user_ip4).write_volatile(address.to_be());
    }
    set_port(ctx, port);
}

#[inline(always)]
fn set6(ctx: &SockAddrContext, address: Ip, port: Option<u16>) {
    // SAFETY: these programs may write the address.
    unsafe { write6(ctx, address) };
    set_port(ctx, port);
}

#[inline(always)]
fn set_port(ctx: &SockAddrContext, port: Option<u16>) {
    if let Some(port) = port {
        // SAFETY: this field may be written, by a 32-bit store.
        unsafe { (&raw mut (*ctx.sock_addr).user_port).write_volatile(u32::from(port.to_be())) };
    }
}
