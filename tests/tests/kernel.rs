//! What the kernel programs take, and what they leave alone.

#[path = "kernel/arrive.rs"]
mod arrive;
#[path = "kernel/lease.rs"]
mod lease;
#[path = "kernel/leave.rs"]
mod leave;
#[path = "kernel/left.rs"]
mod left;
#[path = "kernel/limits.rs"]
mod limits;
#[path = "kernel/sessions.rs"]
mod sessions;
#[path = "kernel/shown.rs"]
mod shown;
#[path = "kernel/sites.rs"]
mod sites;
#[path = "kernel/world.rs"]
mod world;
