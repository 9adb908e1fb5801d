//! The kernel programs: loading and attaching them, what they guard, the lease that keeps them taking, their counters.
//!
//! They take connections at two places: *arrive*, where one reaches this host for an endpoint of its own site, and
//! *leave*, where a process of the cgroup tree opens one to any guarded endpoint. The links that hold them, and the maps,
//! belong to whoever has their descriptors: to the process alone, so that the programs go and the services are reached
//! directly when it ends, however it ends; or to systemd besides, so that the next agent takes them up.
//!
//! `load` brings them in, `kept` names what outlives an agent, `links` attaches them, `guarded` fills the maps that say what is taken, `lease` keeps them taking,
//! `origins` reads back from an accepted socket what they wrote into it, `probe` proves that they take. `preflight`,
//! `dump` and `detach` need no running agent. `cgroup` finds and handles cgroups, `session` keeps the sessions of
//! `cheops exec`.

pub mod cgroup;
mod counters;
mod detach;
mod dump;
mod form;
mod found;
mod guarded;
mod interceptor;
pub mod kept;
mod lease;
mod links;
mod load;
mod logs;
mod numbers;
mod origins;
mod preflight;
mod probe;
pub mod session;
mod source;
mod sys;
mod tree;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use counters::Counter;
pub use detach::detach;
pub use dump::dump_maps;
pub use interceptor::{Interceptor, Prepared};
pub use kept::Kept;
pub use load::Sizes;
pub use preflight::preflight;
pub use sys::give_back_memory;

/// What the kernel room can fail at.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// This build of the agent holds no kernel programs.
    #[error("this agent was built without its kernel programs; build it with: cargo xtask build")]
    NoPrograms,
    /// The embedded programs are of another version than the agent.
    #[error(
        "the kernel programs have ABI {programs:?}, this agent has {agent}; build both anew with: cargo xtask build"
    )]
    Abi { programs: Option<u32>, agent: u32 },
    /// The kernel refused to load the programs.
    #[error("the kernel refused the programs: {0}; cheops check --pre tells what this host lacks")]
    Load(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The kernel refused to attach one.
    #[error("the kernel refused to attach {program}: {error}; cheops check --pre tells what this host lacks")]
    Attach { program: &'static str, error: Box<dyn std::error::Error + Send + Sync> },
    /// The cgroup tree can't be used.
    #[error("the cgroup tree {}: {error}", .path.display())]
    Tree { path: PathBuf, error: io::Error },
    /// cgroup2 isn't there.
    #[error("{0}; mount it with: mount -t cgroup2 none /sys/fs/cgroup/unified")]
    NoCgroup2(io::Error),
    /// Sockets of the agent itself would not be seen by the programs.
    #[error(
        "the agent runs in the cgroup {}, outside of the tree {} that intercept.cgroup names; run it inside, or name a tree above both",
        .own.display(), .tree.display()
    )]
    OutsideTree { own: PathBuf, tree: PathBuf },
    /// A map can't be read or written.
    #[error("the map {name}: {error}")]
    Map { name: &'static str, error: Box<dyn std::error::Error + Send + Sync> },
    /// There is no room for all guarded addresses.
    #[error("{} of the guarded addresses have no room in the kernel's map, the first: {}", .left.len(), first(.left))]
    Full { left: Vec<SocketAddr> },
    /// An address that the agent itself listens on can't be guarded.
    #[error("{0} is an address of the agent itself and can't be a service's endpoint")]
    Own(SocketAddr),
    /// The endpoints' numbers can't be kept.
    #[error("can't keep the endpoints' numbers in {}: {error}", .path.display())]
    Numbers { path: PathBuf, error: io::Error },
    /// The self-probe was not taken.
    #[error("the self-probe to {to} was not taken within {} ms: {why}", .within.as_millis())]
    Probe { to: SocketAddr, within: Duration, why: String },
    /// No programs of an agent are attached here.
    #[error("no kernel programs of Cheops are attached to this network namespace or to {}", .0.display())]
    NoneFound(PathBuf),
    /// Something else of the system.
    #[error("{what}: {error}")]
    System { what: &'static str, error: io::Error },
}

fn first(left: &[SocketAddr]) -> String {
    left.first().map(SocketAddr::to_string).unwrap_or_default()
}

/// A map's error, with its name.
fn map<E: std::error::Error + Send + Sync + 'static>(name: &'static str) -> impl Fn(E) -> KernelError {
    move |error| KernelError::Map { name, error: Box::new(error) }
}
