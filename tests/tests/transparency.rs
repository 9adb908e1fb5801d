//! What is well-formed, or isn't HTTP at all, looks to both ends as if there were no agent.

#[path = "transparency/addresses.rs"]
mod addresses;
#[path = "transparency/cases.rs"]
mod cases;
#[path = "transparency/devices.rs"]
mod devices;
#[path = "transparency/exact.rs"]
mod exact;
#[path = "transparency/noticed.rs"]
mod noticed;
#[path = "transparency/real.rs"]
mod real;
#[path = "transparency/wild.rs"]
mod wild;
