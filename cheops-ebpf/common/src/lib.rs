//! What the kernel programs and the agent share: keys and values of the maps, counters, and the loopback addresses that
//! carry an endpoint's number and a session.
//!
//! Ports and numbers are in the host's order. Nothing here has hidden padding, since the kernel compares keys byte for
//! byte.

#![no_std]

mod count;
mod loopback;
mod values;

pub use count::Count;
pub use loopback::{Ip, Loopback, MAX_NUMBER, NO_SESSION_PORT, ipv4_of, is_steered, mapped};
pub use values::{
    AGENT_MARK, Endpoint, GUARD_OWN, GUARD_REFUSE, GuardKey, GuardValue, LISTENER_V4, LISTENER_V6, Lease,
    NOTE_ANNOUNCED, NOTE_CLIENT, NOTE_LEFT, NOTE_TAKEN, Note, Pair, Settings,
};

/// Changes whenever a map's key, value or meaning does. The agent loads only programs of its own version.
pub const ABI_VERSION: u32 = if cfg!(feature = "next-layout") { 2 } else { 1 };

/// Every map by its name, with the version since which its key, value and meaning are what they are. An agent uses the
/// maps that an earlier one left if these are the same, and makes the others anew.
pub const MAPS: [(&str, u32); 10] = [
    ("SETTINGS", ABI_VERSION),
    ("LEASE", 1),
    ("GUARDED", ABI_VERSION),
    ("ENDPOINTS", 1),
    ("SESSIONS", 1),
    ("LISTENERS", 1),
    ("PENDING", 1),
    ("PENDING_COUNT", 1),
    ("NOTES", 1),
    ("COUNTERS", 1),
];
