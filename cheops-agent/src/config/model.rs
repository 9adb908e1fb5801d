//! What the configuration says, with every default filled in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::names::{HostName, ServiceName, SiteName};

/// The whole configuration of one agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// This host's site.
    pub site: SiteName,
    /// This host's name, unique in its site; the host name by default.
    pub host: HostName,
    /// The federation that the certificates speak of.
    pub federation: String,
    /// Where what must outlive a reboot is kept.
    pub state_dir: PathBuf,
    /// Where what must outlive a restart, but not a reboot, is kept.
    pub run_dir: PathBuf,
    /// Worker threads of the data path; 0 means one per processor.
    pub threads: usize,
    pub intercept: Intercept,
    pub scope: ScopeCarriers,
    pub identity: Identity,
    pub peer: Option<PeerConfig>,
    pub metadata: MetadataConfig,
    pub admin: AdminConfig,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub log: LogConfig,
    /// Directories of profiles; a later one wins.
    pub profile_dirs: Vec<PathBuf>,
    pub sites: Vec<SiteSeed>,
    pub services: Vec<ServiceSeed>,
}

/// How connections are taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Intercept {
    pub mode: InterceptMode,
    pub cgroup: CgroupChoice,
    /// The default of each service's own `when-agent-down`.
    pub when_agent_down: WhenAgentDown,
    /// How often the self-probe runs after the one at start.
    pub probe_every: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterceptMode {
    /// The kernel programs take the connections.
    Ebpf,
    /// Nothing is taken; the agent only serves its peers.
    Off,
}

/// The cgroup2 tree whose processes are caught when they connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupChoice {
    /// The root of the cgroup2 hierarchy.
    Auto,
    Path(PathBuf),
}

/// What becomes of a guarded connection while no agent renews the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAgentDown {
    /// The API is reached directly.
    Pass,
    /// The connection is refused.
    Refuse,
}

/// How a request names its scope (SPEC.md 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeCarriers {
    /// The header's name, compared without case.
    pub header: String,
    /// The query parameter's name, compared exactly.
    pub parameter: String,
    /// Whether the password of the login `cheops-scope` is a scope (`Authorization: Basic`), as a `.netrc` has it.
    pub basic: bool,
    /// Headers in which a token may carry a scope behind it. The profiles say so, not a key.
    pub tokens: Vec<String>,
}

impl Default for ScopeCarriers {
    fn default() -> Self {
        Self { header: "X-Scope".to_owned(), parameter: "scope".to_owned(), basic: false, tokens: Vec::new() }
    }
}

/// What users of other sites may do here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub trust: Trust,
    /// What is left of their roles.
    pub foreign_roles: Vec<String>,
}

/// Sites whose users' credentials are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    Sites(Vec<SiteName>),
    /// Every site of the federation.
    All,
}

impl Trust {
    /// Whether users of `site` are let in.
    pub fn includes(&self, site: &SiteName) -> bool {
        match self {
            Self::Sites(sites) => sites.contains(site),
            Self::All => true,
        }
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::Sites(Vec::new())
    }
}

/// Agent to agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    pub listen: SocketAddr,
    pub security: PeerSecurity,
    /// How long certificates are good that this host signs.
    pub certificate_life: Duration,
    pub probes: Probes,
}

/// How many other sites are probed all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probes {
    pub nearest: usize,
    /// Those that follow in the order of names.
    pub successors: usize,
    /// Drawn from the others.
    pub sample: usize,
}

impl Probes {
    /// Their keys, and what each may be.
    pub const KEYS: [(&str, RangeInclusive<usize>); 3] =
        [("probe-nearest", 0..=256), ("probe-successors", 1..=16), ("probe-sample", 2..=256)];
}

impl Default for Probes {
    fn default() -> Self {
        Self { nearest: 16, successors: 2, sample: 6 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerSecurity {
    Tls {
        ca: PathBuf,
        cert: PathBuf,
        key: PathBuf,
    },
    /// Mutual TLS with what `cheops site init` or `site join` wrote here; until then no agent is talked to.
    Joined {
        directory: PathBuf,
    },
    /// Plain text; only between loopback addresses.
    Insecure,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataConfig {
    /// This site's own store.
    Embedded,
    /// A cluster of etcd, which all sites share.
    Etcd(EtcdConfig),
}

/// How the cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdConfig {
    /// The members' URLs: `http://…` or `https://…`, without a path.
    pub endpoints: Vec<String>,
    /// The authority of the members' certificates; there where endpoints are `https`.
    pub ca: Option<PathBuf>,
    /// The certificate that this agent shows, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// A user and the file with the password.
    pub user: Option<(String, PathBuf)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    pub socket: PathBuf,
    /// GET only, loopback only.
    pub listen: Option<SocketAddr>,
}

/// What a stranger can make grow, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's or answer's head.
    pub head_bytes: usize,
    /// Header fields of a head.
    pub headers: usize,
    /// Bytes of one chunk's extensions (RFC 9112, 7.1.1).
    pub chunk_extension_bytes: u32,
    /// Bytes of a body's trailer fields in all (RFC 9112, 7.1.2).
    pub trailer_bytes: u32,
    /// Bytes of a connection's next requests that are read while an exchange runs; the client waits with what is more.
    pub pipelined_bytes: usize,
    /// Client connections in all.
    pub connections: usize,
    /// Client connections from one address.
    pub connections_per_client: usize,
    /// Client connections to one service that it has not accepted yet.
    pub pending: usize,
    /// Refused connections that are told why at the same time; what is more is reset.
    pub refusals: usize,
    /// Connections that the kernel keeps until the agent accepts them.
    pub backlog: i32,
    /// Descriptors that the agent may have open; 0 means as many as its hard limit allows.
    pub descriptors: u64,
    /// Exchanges that peers may have open here.
    pub peer_exchanges: usize,
    /// Bytes of a request's body kept so that `||` can go on to the next site.
    pub otherwise_spool: usize,
    /// Ids of scoped requests that are kept so that the calls below them are found.
    pub workflow_records: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a head to its last.
    pub header_read: Duration,
    /// Between two pieces of a body.
    pub body_read: Duration,
    /// Between two exchanges of a client's connection; zero means without limit.
    pub idle: Duration,
    /// How long nothing may move in a tunnel of which one way is closed.
    pub half_closed: Duration,
    /// Dialling a service or a peer.
    pub connect: Duration,
    /// A scoped exchange at a peer, until its answer begins.
    pub exchange: Duration,
    /// TCP keepalive's idle time on both sides.
    pub keepalive: Duration,
    /// `TCP_USER_TIMEOUT` of clients' and services' connections; zero means the kernel's own rule.
    pub user_timeout: Duration,
    /// How long a scoped request's ids link calls to it after its answer.
    pub workflow: Duration,
    /// How long exchanges may go on after SIGTERM.
    pub drain: Duration,
    /// How long an agent that was replaced goes on serving what it had.
    pub handover: Duration,
}

/// The log, on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or filters as `tracing_subscriber::filter::Targets` reads them.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

/// A site that is known from the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteSeed {
    pub name: SiteName,
    /// Its agents, `host:port`, nearest first.
    pub peers: Vec<String>,
}

/// A service that is known from the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSeed {
    pub name: ServiceName,
    /// The service's type, such as `compute`.
    pub kind: Option<String>,
    pub profile: String,
    pub endpoints: BTreeMap<SiteName, Vec<EndpointUrl>>,
    pub when_agent_down: WhenAgentDown,
    /// The `Host` that a service at another site sees.
    pub host: HostHeader,
    /// Whether peers may reach it.
    pub export: bool,
    /// Whether the query parameter carries scopes here.
    pub parameter: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's, byte for byte.
    Client,
    /// The endpoint's own authority.
    Own,
}

/// An endpoint as written: scheme, authority and path prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointUrl {
    pub https: bool,
    /// Host name or address, without brackets.
    pub host: String,
    pub port: u16,
    /// Empty, or `/…` without a slash at its end.
    pub prefix: String,
}

impl EndpointUrl {
    /// As it could have been written.
    pub fn url(&self) -> String {
        format!("{}://{}{}", if self.https { "https" } else { "http" }, self.authority(), self.prefix)
    }

    /// `host:port`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}
