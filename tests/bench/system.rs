//! What is compared, and where each is asked.

use serde::Serialize;

/// A way of reaching the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// The service itself.
    Direct,
    /// Through the agent.
    Agent,
    /// Through nginx.
    Nginx,
    /// Through HAProxy with a rule on the header `X-Scope`.
    Haproxy,
    /// Through HAProxy with a Lua script that reads the scope.
    HaproxyLua,
    /// Through Envoy.
    Envoy,
}

impl System {
    pub const ALL: [Self; 6] = [Self::Direct, Self::Agent, Self::Nginx, Self::Haproxy, Self::HaproxyLua, Self::Envoy];

    /// What the report calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Agent => "agent",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::HaproxyLua => "haproxy-lua",
            Self::Envoy => "envoy",
        }
    }

    /// Where requests go. The agent guards the service's own port.
    pub fn port(self) -> u16 {
        match self {
            Self::Direct | Self::Agent => 8080,
            Self::Nginx => 8082,
            Self::Haproxy => 8083,
            Self::HaproxyLua => 8084,
            Self::Envoy => 8085,
        }
    }

    /// Where uploads go: to the same program, which passes them on to the sink.
    pub fn upload_port(self) -> u16 {
        self.port() + UPLOAD
    }
}

/// What distinguishes the sink's port from the service's, and with it each proxy's.
const UPLOAD: u16 = 10;

/// Where HAProxy takes what another site's HAProxy sends, by mutual TLS.
pub const PEER: u16 = 8446;
