//! The programs while they run.

use std::convert::Infallible;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;

use super::KernelError;
use crate::accept::{Listeners, OriginError, Origins, SessionId, Taken};
use crate::address::ClientAddr;
use crate::config::Config;
use crate::metadata::{EndpointId, Guard};
use crate::observe::Check;

/// The attached programs. Dropping it detaches them.
pub struct Interceptor {
    never: Infallible,
}

impl Interceptor {
    /// Loads the programs, attaches them to this network namespace and to the configured cgroup tree, and starts to
    /// renew the lease. Nothing is taken before [`guard`](Self::guard). To be called inside the runtime.
    ///
    /// # Errors
    /// When the kernel refuses something; nothing stays attached.
    pub fn start(_config: &Config, _listeners: &Listeners) -> Result<Arc<Self>, KernelError> {
        Err(KernelError::NoPrograms)
    }

    /// Makes `guards` the set of addresses whose connections are taken; what was guarded and isn't in it is let go.
    ///
    /// # Errors
    /// When the map is full: those that fitted are guarded.
    pub fn guard(&self, _guards: &[Guard]) -> Result<(), KernelError> {
        match self.never {}
    }

    /// From now on, connections of the processes in the cgroup `cgroup` (its inode number) carry the session.
    ///
    /// # Errors
    /// When the map is full.
    pub fn add_session(&self, _session: SessionId, _cgroup: u64) -> Result<(), KernelError> {
        match self.never {}
    }

    /// Forgets a session; its processes connect like any other from now on.
    ///
    /// # Errors
    /// When the kernel refuses to change the map.
    pub fn remove_session(&self, _session: SessionId) -> Result<(), KernelError> {
        match self.never {}
    }

    /// What the programs counted since they were loaded: (hook, outcome and reason, count). All names are stable.
    ///
    /// # Errors
    /// When the map can't be read.
    pub fn counters(&self) -> Result<Vec<(&'static str, &'static str, u64)>, KernelError> {
        match self.never {}
    }

    /// Opens a connection that the programs must take and waits until [`Origins::taken`] has seen it; how long it took.
    /// The accept loop must be running.
    ///
    /// # Errors
    /// When it was not taken.
    pub async fn probe(&self) -> Result<Duration, KernelError> {
        match self.never {}
    }

    /// The `SO_MARK` that every connection of the agent itself must carry before it connects.
    pub fn mark(&self) -> u32 {
        match self.never {}
    }

    /// Holds the lease for `time` (at most 5 s) after the last renewal, over a planned restart.
    ///
    /// # Errors
    /// When the kernel refuses to change the map.
    pub fn hold(&self, _time: Duration) -> Result<(), KernelError> {
        match self.never {}
    }

    /// The number of a guarded address.
    pub fn endpoint(&self, _address: std::net::SocketAddr) -> Option<EndpointId> {
        match self.never {}
    }

    /// What is loaded and where it is attached, for `status` and the log: ABI version, kernel, hooks, cgroup.
    pub fn facts(&self) -> Value {
        match self.never {}
    }
}

impl Origins for Interceptor {
    fn taken(&self, _connection: &TcpStream) -> Result<Taken, OriginError> {
        match self.never {}
    }

    fn announce(&self, _socket: BorrowedFd<'_>, _client: ClientAddr) -> std::io::Result<()> {
        match self.never {}
    }
}

/// Looks whether this host will do: kernel, cgroup2, BTF, capabilities, others' programs on the same hooks. Changes nothing.
pub fn preflight(_config: &Config) -> Vec<Check> {
    let found = KernelError::NoPrograms.to_string();
    vec![Check::not("kernel-programs", crate::observe::Grade::Fail, found, "Run: cargo xtask build")]
}

/// Everything in the maps of the programs that run for this configuration's cgroup tree and this network namespace.
///
/// # Errors
/// When no such program runs, or its maps can't be read.
pub fn dump_maps(_config: &Config) -> Result<Value, KernelError> {
    Err(KernelError::NoPrograms)
}

/// Takes the programs of this configuration's cgroup tree and this network namespace away, whoever keeps them; says which.
///
/// # Errors
/// When the kernel refuses.
pub fn detach(_config: &Config) -> Result<Vec<String>, KernelError> {
    Err(KernelError::NoPrograms)
}
