//! The kernel programs: loading and attaching them, what they guard, the lease that keeps them taking, their counters.
//!
//! They take connections at two places: *arrive*, where one reaches this host for an endpoint of its own site, and
//! *leave*, where a process of the cgroup tree opens one to any guarded endpoint. The links belong to the process: when
//! it ends, however it ends, the programs go and the services are reached directly.
//!
//! `cgroup` finds and handles cgroups, `session` keeps the sessions of `cheops exec`.

pub mod cgroup;
mod interceptor;
pub mod session;

pub use interceptor::{Interceptor, detach, dump_maps, preflight};

/// What the kernel room can fail at.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// This build of the agent holds no kernel programs.
    #[error("this agent was built without its kernel programs; build it with: cargo xtask build")]
    NoPrograms,
}
