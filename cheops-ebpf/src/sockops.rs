//! `sock_ops`: carries what one end's socket knows over to the other end's.
//!
//! When a noted socket connects, its port is chosen and no SYN is sent yet: the note is entered in PENDING by both
//! ends' addresses. When the other end's socket is made it takes the note out and keeps it. When the opening socket
//! closes before that, the entry goes, so none outlives its connection and names a stranger.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG,
    BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_TCP_CLOSE, bpf_sock,
};
use aya_ebpf::programs::SockOpsContext;
use cheops_ebpf_common::{Count, NOTE_ANNOUNCED, NOTE_CLIENT, NOTE_LEFT, NOTE_TAKEN, Note, Pair, Settings, mapped};

use crate::count::{count, log};
use crate::{AF_INET, AF_INET6, LOOPBACK6, exempt, maps, words};

/// One call of the program. Its answer means nothing to the kernel here.
#[inline(always)]
pub fn sockops(ctx: &SockOpsContext) {
    match ctx.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => connecting(ctx),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => accepted(ctx),
        BPF_SOCK_OPS_STATE_CB if ctx.arg(1) == BPF_TCP_CLOSE => closed(ctx),
        _ => {}
    }
}

#[inline(always)]
fn connecting(ctx: &SockOpsContext) {
    let Some(socket) = socket(ctx) else { return };
    let Some(note) = maps::note(socket) else { return };
    let note = *note;
    let Some(settings) = maps::settings(ctx) else { return };
    let Some(pair) = opening(ctx) else { return };
    let pend = match note.kind {
        NOTE_ANNOUNCED => true,
        NOTE_LEFT => is_agent6(settings, &pair),
        _ => false,
    };
    if !pend {
        return;
    }
    if !maps::pend(&pair, &note) {
        count(Count::NoMemory);
        log!(ctx, "no memory to carry a connection's addresses");
        return;
    }
    if ctx.set_cb_flags((ctx.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG) as i32).is_err() {
        log!(ctx, "can't follow a connection's state");
    }
}

#[inline(always)]
fn accepted(ctx: &SockOpsContext) {
    if maps::settings(ctx).is_none() {
        return;
    }
    let Some(socket) = socket(ctx) else { return };
    let Some(this) = opening(ctx) else { return };
    let pair =
        Pair { local: this.remote, remote: this.local, local_port: this.remote_port, remote_port: this.local_port };
    // SAFETY: the value is copied out at once.
    let Some(pending) = (unsafe { maps::PENDING.get(pair) }).copied() else { return };
    let (kind, told) = match pending.kind {
        NOTE_ANNOUNCED => (NOTE_CLIENT, Count::AnnounceTold),
        _ => (NOTE_TAKEN, Count::AcceptTold),
    };
    if maps::keep(socket, &Note { kind, ..pending }) {
        count(told);
    } else {
        count(Count::NoMemory);
        log!(ctx, "no memory to keep a connection's addresses");
    }
    maps::unpend(&pair);
}

#[inline(always)]
fn closed(ctx: &SockOpsContext) {
    if let Some(pair) = opening(ctx) {
        maps::unpend(&pair);
    }
}

#[inline(always)]
fn socket(ctx: &SockOpsContext) -> Option<*mut bpf_sock> {
    // SAFETY: the context's fields may be read.
    let socket = unsafe { (*ctx.ops).__bindgen_anon_2.sk };
    (!socket.is_null()).then_some(socket)
}

/// Both ends' addresses, as this socket has them.
#[inline(always)]
fn opening(ctx: &SockOpsContext) -> Option<Pair> {
    let (local, remote) = match ctx.family() {
        AF_INET => (mapped(u32::from_be(ctx.local_ip4())), mapped(u32::from_be(ctx.remote_ip4()))),
        AF_INET6 => {
            // SAFETY: the context's fields may be read.
            unsafe { (words(&raw const (*ctx.ops).local_ip6), words(&raw const (*ctx.ops).remote_ip6)) }
        }
        _ => return None,
    };
    let remote_port = u32::from_be(ctx.remote_port()) as u16;
    Some(Pair { local, remote, local_port: ctx.local_port() as u16, remote_port })
}

/// Whether a connection goes to the agent's IPv6 listener; else what was noted is of an earlier connection.
#[inline(always)]
fn is_agent6(settings: &Settings, pair: &Pair) -> bool {
    u32::from(pair.remote_port) == settings.port6 && exempt::same(&pair.remote, &LOOPBACK6)
}
