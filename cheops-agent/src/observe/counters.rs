//! The reasons that counters are kept by. Each is a closed list, so that labels stay bounded.

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$each])* $variant),* }

        impl $name {
            /// Every reason.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The stable text, as in metrics and `status`.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
        }
    };
}

reasons! {
    /// Why a client's connection was reset before anything of it was served.
    Refused {
        /// Its original destination is not known.
        UnknownOrigin = "unknown-origin",
        /// It was opened to the agent's own address.
        Loop = "loop",
        /// `limits.connections`.
        Connections = "connections",
        /// `limits.connections-per-client`.
        ConnectionsPerClient = "connections-per-client",
        /// `limits.pending`.
        Pending = "pending",
        /// No descriptor is left.
        Descriptors = "descriptors",
        Draining = "draining",
        /// The service refused the connection, and the client was not speaking HTTP.
        ServiceUnreachable = "service-unreachable",
        /// The service could not be told the client's address.
        Announce = "announce",
        /// An `exec` session's scope can't be honoured here (AMENDMENTS 8).
        ScopeNotHonoured = "scope-not-honoured",
    }
}

reasons! {
    /// Why a connection's bytes were passed on without being read as HTTP.
    Passthrough {
        /// A TLS ClientHello, and no certificate for the endpoint.
        Tls = "tls",
        /// The HTTP/2 connection preface (RFC 9113, 3.4).
        Http2 = "http2",
        /// The service spoke first.
        ServerFirst = "server-first",
        /// The first bytes are not HTTP's.
        NotHttp = "not-http",
        /// The client ended its side without a word.
        Silent = "silent",
        /// A 101 answer (RFC 9110, 15.2.2).
        Upgrade = "upgrade",
        /// A CONNECT request.
        Connect = "connect",
    }
}

reasons! {
    /// A configured limit that something ran into.
    Limit {
        HeadBytes = "head-bytes",
        Headers = "headers",
        ChunkExtensionBytes = "chunk-extension-bytes",
        TrailerBytes = "trailer-bytes",
        PipelinedBytes = "pipelined-bytes",
        HeaderRead = "header-read",
        BodyRead = "body-read",
        Idle = "idle",
        HalfClosed = "half-closed",
        Connections = "connections",
        ConnectionsPerClient = "connections-per-client",
        Pending = "pending",
        Refusals = "refusals",
        Backlog = "backlog",
        Descriptors = "descriptors",
        PeerExchanges = "peer-exchanges",
        OtherwiseSpool = "otherwise-spool",
        WorkflowRecords = "workflow-records",
        Exchange = "exchange",
        Connect = "connect",
        Drain = "drain",
    }
}

impl Limit {
    /// The key of `agent.toml` that sets it.
    pub fn key(self) -> String {
        let table = match self {
            Self::HeaderRead
            | Self::BodyRead
            | Self::Idle
            | Self::HalfClosed
            | Self::Exchange
            | Self::Connect
            | Self::Drain => "timeouts",
            _ => "limits",
        };
        format!("{table}.{}", self.as_str())
    }
}
