//! What the kernel programs take, and what they leave alone.

#[path = "kernel/world.rs"]
mod world;

#[path = "kernel/leave.rs"]
mod leave;
