//! `sk_lookup`: a TCP connection reaches this network namespace. Those for guarded endpoints of the own site, and those
//! that `leave` rewrote, are given to the agent's listener; the accepted socket keeps both ends' addresses.

use aya_ebpf::bindings::sk_action::{SK_DROP, SK_PASS};
use aya_ebpf::programs::SkLookupContext;
use cheops_ebpf_common::{Count, GUARD_OWN, GUARD_REFUSE, Ip, LISTENER_V4, LISTENER_V6, is_steered, mapped};

use crate::count::count;
use crate::maps::{LISTENERS, guarded, own_settings, taking};
use crate::{AF_INET, AF_INET6, IPPROTO_TCP, exempt, words};

/// The verdict: SK_PASS, with or without the agent's listener chosen, or SK_DROP.
#[inline(always)]
pub fn arrive(ctx: &SkLookupContext) -> u32 {
    // SAFETY: the context's fields may be read.
    let (protocol, family, port) = unsafe { ((*ctx.lookup).protocol, (*ctx.lookup).family, (*ctx.lookup).local_port) };
    if protocol != IPPROTO_TCP {
        return SK_PASS;
    }
    match family {
        AF_INET => {
            // SAFETY: as above.
            let (local, remote) = unsafe { ((*ctx.lookup).local_ip4, (*ctx.lookup).remote_ip4) };
            let (local, remote) = (u32::from_be(local), u32::from_be(remote));
            if is_steered(local) {
                return steer(ctx);
            }
            take(ctx, LISTENER_V4, mapped(local), mapped(remote), port as u16)
        }
        AF_INET6 => {
            // SAFETY: as above.
            let (local, remote) =
                unsafe { (words(&raw const (*ctx.lookup).local_ip6), words(&raw const (*ctx.lookup).remote_ip6)) };
            take(ctx, LISTENER_V6, local, remote, port as u16)
        }
        _ => SK_PASS,
    }
}

/// Nobody but the agent may be met at `127.64.0.0/10`, whoever else listens on a wildcard address.
#[inline(always)]
fn steer(ctx: &SkLookupContext) -> u32 {
    if LISTENERS.redirect_sk_lookup(ctx, LISTENER_V4, 0).is_ok() {
        count(Count::SteerTaken);
        return SK_PASS;
    }
    count(Count::SteerRefused);
    SK_DROP
}

#[inline(always)]
fn take(ctx: &SkLookupContext, listener: u32, local: Ip, remote: Ip, port: u16) -> u32 {
    if exempt::by_address(&local, &remote) {
        return SK_PASS;
    }
    let Some(settings) = own_settings() else { return SK_PASS };
    let Some(endpoint) = guarded(settings.netns, local, port) else { return SK_PASS };
    if endpoint.flags & GUARD_OWN == 0 {
        return SK_PASS;
    }
    if taking(listener) && LISTENERS.redirect_sk_lookup(ctx, listener, 0).is_ok() {
        count(Count::ArriveTaken);
        return SK_PASS;
    }
    if endpoint.flags & GUARD_REFUSE != 0 {
        count(Count::ArriveStaleRefused);
        return SK_DROP;
    }
    count(Count::ArriveStalePassed);
    SK_PASS
}
