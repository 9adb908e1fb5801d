//! Keys and values of the maps.

use crate::Ip;

/// `SO_MARK` of the agent's own sockets ("cheo"). `leave` lets them be.
pub const AGENT_MARK: u32 = 0x6368_656f;

/// Where the IPv4 listener is in LISTENERS.
pub const LISTENER_V4: u32 = 0;
/// Where the IPv6 listener is in LISTENERS.
pub const LISTENER_V6: u32 = 1;

/// The endpoint is the agent's own site's: `arrive` takes its connections too.
pub const GUARD_OWN: u32 = 1;
/// Its connections are refused while no agent takes them; otherwise they go on to the service.
pub const GUARD_REFUSE: u32 = 2;

/// GUARDED: an address whose connections are taken, in one network namespace.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardKey {
    /// The network namespace's cookie (`SO_NETNS_COOKIE`).
    pub netns: u64,
    pub address: Ip,
    pub port: u32,
    pub zero: u32,
}

/// GUARDED: the endpoint there.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardValue {
    pub number: u32,
    /// `GUARD_*`.
    pub flags: u32,
    #[cfg(feature = "next-layout")]
    pub later: u64,
}

impl GuardValue {
    pub const fn new(number: u32, flags: u32) -> Self {
        Self {
            number,
            flags,
            #[cfg(feature = "next-layout")]
            later: 0,
        }
    }
}

/// ENDPOINTS, by number: what `getpeername` and `getsockname` tell a client that `leave` took.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub address: Ip,
    /// The source that the route to it gives; all zero where it is not known.
    pub source: Ip,
    pub port: u32,
}

/// LEASE: the programs take connections until then.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// `CLOCK_BOOTTIME`, in nanoseconds.
    pub until: u64,
}

/// SETTINGS: what the agent tells the programs once, but for `sessions`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The agent's network namespace; 0 until the agent has filled this in.
    pub netns: u64,
    /// Entries that PENDING can hold.
    pub capacity: u64,
    /// [`ABI_VERSION`](crate::ABI_VERSION).
    pub abi: u32,
    /// Entries of SESSIONS; with none the programs don't look.
    pub sessions: u32,
    /// Port of the IPv6 listener; 0 is none.
    pub port6: u32,
    pub zero: u32,
}

/// PENDING: both ends of a connection that is being opened, as the opening side sees them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub local: Ip,
    pub remote: Ip,
    pub local_port: u16,
    pub remote_port: u16,
}

/// On the agent's socket, before it connects to a service: the address is the true client.
pub const NOTE_ANNOUNCED: u32 = 1;
/// On the socket that the service accepted: the address is the true client.
pub const NOTE_CLIENT: u32 = 2;
/// On a client's IPv6 socket that `leave` took: the address is the original destination.
pub const NOTE_LEFT: u32 = 3;
/// On the socket that the agent accepted from it: the address is the original destination.
pub const NOTE_TAKEN: u32 = 4;

/// NOTES: what is known of one socket. It lives in the socket and dies with it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    pub address: Ip,
    /// `NOTE_*`.
    pub kind: u32,
    /// The endpoint's number, of [`NOTE_LEFT`] and [`NOTE_TAKEN`].
    pub number: u32,
    pub port: u16,
    /// The `exec` session; 0 is none.
    pub session: u16,
    pub zero: u32,
}

#[cfg(feature = "user")]
mod pod {
    use super::{Endpoint, GuardKey, GuardValue, Lease, Note, Pair, Settings};

    macro_rules! pod {
        ($($name:ty),*) => {
            $(
                // SAFETY: repr(C), made of integers only, without padding (tested), so any bytes are a value.
                unsafe impl aya::Pod for $name {}
            )*
        };
    }
    pod!(Endpoint, GuardKey, GuardValue, Lease, Note, Pair, Settings);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes are those of the fields, so there is no padding; and they are what the kernel programs were built with.
    #[test]
    fn layouts_have_no_padding() {
        assert_eq!((size_of::<GuardKey>(), align_of::<GuardKey>()), (8 + 16 + 4 + 4, 8));
        let later = if cfg!(feature = "next-layout") { (4 + 4 + 8, 8) } else { (4 + 4, 4) };
        assert_eq!((size_of::<GuardValue>(), align_of::<GuardValue>()), later);
        assert_eq!((size_of::<Endpoint>(), align_of::<Endpoint>()), (16 + 16 + 4, 4));
        assert_eq!((size_of::<Lease>(), align_of::<Lease>()), (8, 8));
        assert_eq!((size_of::<Settings>(), align_of::<Settings>()), (8 + 8 + 4 + 4 + 4 + 4, 8));
        assert_eq!((size_of::<Pair>(), align_of::<Pair>()), (16 + 16 + 2 + 2, 4));
        assert_eq!((size_of::<Note>(), align_of::<Note>()), (16 + 4 + 4 + 2 + 2 + 4, 4));
    }
}
