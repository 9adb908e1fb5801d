//! Every key of `agent.toml`: its type, default and meaning. The one table that reading, `--help-config`, unknown-key
//! suggestions and the test of the shipped file go by.

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Path,
    /// `true` or `false`.
    Flag,
    Count,
    /// Bytes: a number, or text such as `64KiB`.
    Size,
    /// Text such as `500ms`, `30s`, `5m`, `1h`.
    Duration,
    /// `address:port`.
    Address,
    OneOf(&'static [&'static str]),
    /// One text or a list of them.
    Texts,
    /// A table of site → URL or list of URLs.
    Endpoints,
}

/// What holds when a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The key must be there.
    Required,
    /// This value, as TOML.
    Default(&'static str),
    /// What happens then, in words.
    Means(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// `table.key`, or `list[].key`.
    pub path: &'static str,
    pub kind: Kind,
    pub absent: Absent,
    pub meaning: &'static str,
}

use Absent::{Default, Means, Required};
use Kind::{Address, Count, Duration, Endpoints, Flag, OneOf, Path, Size, Text, Texts};

macro_rules! keys {
    ($($path:literal $kind:expr, $absent:expr, $meaning:literal;)*) => {
        /// Every key, in the order in which help prints them.
        pub const KEYS: &[Key] = &[$(Key { path: $path, kind: $kind, absent: $absent, meaning: $meaning }),*];
    };
}

/// Where the system's and the administrator's profiles are.
const PROFILE_DIRS: &str = r#"["/usr/share/cheops/profiles", "/etc/cheops/profiles"]"#;

keys! {
    "site" Text, Required, "This host's site.";
    "host" Text, Means("the system's host name"), "This host's name, unique in its site; the certificate must name it.";
    "federation" Text, Default(r#""cheops""#), "The federation that certificates speak of.";
    "state-dir" Path, Default(r#""/var/lib/cheops""#), "Where what must outlive a reboot is kept.";
    "run-dir" Path, Default(r#""/run/cheops""#), "Where what must outlive a restart, but not a reboot, is kept.";
    "threads" Count, Default("0"), "Worker threads of the data path; 0 means one per processor.";
    "profile-dirs" Texts, Default(PROFILE_DIRS), "Directories of profiles; a later one wins.";

    "intercept.mode" OneOf(&["ebpf", "off"]), Default(r#""ebpf""#), "ebpf: kernel programs take the connections; off: nothing is taken, only peers are served.";
    "intercept.cgroup" Text, Default(r#""auto""#), "The cgroup2 tree whose processes are caught when they connect; auto is the root.";
    "intercept.when-agent-down" OneOf(&["pass", "refuse"]), Default(r#""pass""#), "While the agent is down: pass reaches the API directly, refuse refuses connections.";
    "intercept.probe-every" Duration, Default(r#""60s""#), "How often the agent proves to itself that it captures.";

    "scope.header" Text, Default(r#""X-Scope""#), "The header that carries a request's scope.";
    "scope.parameter" Text, Default(r#""scope""#), "The query parameter that carries a request's scope.";
    "scope.basic" Flag, Default("false"), "Whether the password of the login cheops-scope is a scope: of a .netrc, for clients that can't send a header.";

    "identity.trust" Texts, Default("[]"), "Sites whose users' tokens are accepted here, or \"*\" for every site of the federation. A token is checked by the site that issued it.";
    "identity.foreign-roles" Texts, Default(r#"["member", "reader"]"#), "Roles that a user of such a site keeps here; administrators' and services' never are.";

    "peer.listen" Address, Required, "Where other sites' agents reach this one.";
    "peer.ca" Path, Means("that of cheops site init or join"), "The federation's certificate authority, PEM.";
    "peer.cert" Path, Means("that of cheops site init or join"), "This host's certificate, PEM.";
    "peer.key" Path, Means("that of cheops site init or join"), "The certificate's private key, PEM; may come from systemd's LoadCredential.";
    "peer.certificate-life" Duration, Default(r#""720h""#), "How long certificates are good that this host signs for hosts of the federation, from 1s to 2160h; each is renewed when two thirds are over.";
    "peer.probe-nearest" Count, Default("16"), "The nearest sites that are probed all the time, from 0 to 256, besides those that requests go to. Of all others there is word.";
    "peer.probe-successors" Count, Default("2"), "Probed sites that follow in the order of names, from 1 to 16: so each site has some that probe it.";
    "peer.probe-sample" Count, Default("6"), "Probed sites that are drawn anew each minute, from 2 to 256: the ways that word takes.";
    "peer.insecure" Flag, Default("false"), "Plain text between agents; only between loopback addresses.";

    "metadata.backend" OneOf(&["embedded", "etcd"]), Default(r#""embedded""#), "Where what sites tell each other is kept: embedded is by this site for itself; etcd is one cluster of all sites.";
    "metadata.endpoints" Texts, Means("for etcd only"), "The etcd members' URLs, all http or all https; the nearest that serves is asked.";
    "metadata.ca" Path, Means("http only"), "The authority of the etcd members' certificates, PEM.";
    "metadata.cert" Path, Means("no certificate is shown to etcd"), "The certificate that etcd is shown, PEM.";
    "metadata.key" Path, Means("no certificate is shown to etcd"), "That certificate's private key, PEM.";
    "metadata.user" Text, Means("etcd knows this agent by its certificate, or not at all"), "etcd's name for this agent.";
    "metadata.password-file" Path, Means("etcd asks for no password"), "The file with that user's password; nobody else may read it.";

    "admin.socket" Path, Default(r#""/run/cheops/admin.sock""#), "The admin API's unix socket; groups cheops and cheops-admin may use it.";
    "admin.listen" Address, Means("no TCP listener"), "A loopback address for metrics and the read-only admin API.";

    "limits.head-bytes" Size, Default(r#""64KiB""#), "Bytes of a request's or answer's head.";
    "limits.headers" Count, Default("256"), "Header fields of a head.";
    "limits.chunk-extension-bytes" Size, Default(r#""4KiB""#), "Bytes of one chunk's extensions.";
    "limits.trailer-bytes" Size, Default(r#""16KiB""#), "Bytes of a body's trailer fields.";
    "limits.pipelined-bytes" Size, Default(r#""64KiB""#), "Bytes of a connection's next requests that are read while one is being answered.";
    "limits.connections" Count, Default("16384"), "Client connections in all.";
    "limits.connections-per-client" Count, Default("4096"), "Client connections from one address.";
    "limits.pending" Count, Default("1024"), "Client connections to one address that it has not accepted yet.";
    "limits.refusals" Count, Default("64"), "Refused connections that are told why at the same time; what is more is reset.";
    "limits.backlog" Count, Default("4096"), "Connections that the kernel keeps until the agent accepts them; net.core.somaxconn limits it too.";
    "limits.descriptors" Count, Default("0"), "Descriptors that the agent may have open; 0 means as many as its hard limit allows.";
    "limits.peer-exchanges" Count, Default("1024"), "Exchanges that peers may have open here.";
    "limits.otherwise-spool" Size, Default(r#""1MiB""#), "Bytes of a request's body that are kept so that || can go on to the next site.";
    "limits.workflow-records" Count, Default("65536"), "Ids of scoped requests that are kept so that the calls below them are found.";

    "timeouts.header-read" Duration, Default(r#""30s""#), "From the first byte of a head to its last.";
    "timeouts.body-read" Duration, Default(r#""5m""#), "Between two pieces of a request's body.";
    "timeouts.idle" Duration, Default(r#""0s""#), "Between two exchanges of a client's connection; 0s means without limit.";
    "timeouts.half-closed" Duration, Default(r#""5m""#), "How long nothing may move in a tunnel of which one way is closed.";
    "timeouts.connect" Duration, Default(r#""5s""#), "Connecting to a service or a peer.";
    "timeouts.exchange" Duration, Default(r#""120s""#), "A scoped exchange at a peer, until its answer begins.";
    "timeouts.keepalive" Duration, Default(r#""60s""#), "Idle time before TCP keepalive probes, on both sides; an end that answers none of eight, 15s apart, is gone.";
    "timeouts.user-timeout" Duration, Default(r#""0s""#), "TCP_USER_TIMEOUT of both sides: how long sent data may stay unacknowledged, or untaken by an end that reads nothing; 0s means as long as the kernel tries, and without limit for one that only pauses.";
    "timeouts.workflow" Duration, Default(r#""30m""#), "How long a scoped request's ids link calls to it after its answer, and after the last such call's; of reads 60s at most.";
    "timeouts.drain" Duration, Default(r#""30s""#), "How long exchanges may go on after SIGTERM.";
    "timeouts.handover" Duration, Default(r#""1h""#), "How long an agent that a new one replaced goes on serving what it had.";

    "log.level" Text, Default(r#""info""#), "error, warn, info, debug, trace, or filters such as info,cheops_agent::peer=debug.";
    "log.format" OneOf(&["human", "json"]), Default(r#""human""#), "How log lines look.";

    "sites[].name" Text, Required, "The site's name.";
    "sites[].peer" Texts, Required, "Its agents, host:port, nearest first.";

    "services[].name" Text, Required, "The service's name, as scopes say it.";
    "services[].type" Text, Means("no type"), "The service's type, such as compute; scopes may say it too.";
    "services[].profile" Text, Default(r#""rest""#), "The profile that describes its API.";
    "services[].endpoints" Endpoints, Required, "Per site, the URL or the list of URLs where it is.";
    "services[].when-agent-down" OneOf(&["pass", "refuse"]), Means("as intercept.when-agent-down"), "While the agent is down: pass or refuse.";
    "services[].host" OneOf(&["client", "own"]), Default(r#""client""#), "The Host that the service at another site sees: the client's, or the endpoint's own.";
    "services[].export" Flag, Default("true"), "Whether other sites' agents may reach it.";
    "services[].parameter" Flag, Default("true"), "Whether the query parameter carries scopes here; false leaves the application's own alone.";
}

/// Tables and lists of tables; each holds the keys whose paths begin with it.
pub const SECTIONS: &[(&str, &str)] = &[
    ("intercept", "how connections are taken"),
    ("scope", "how a request says its scope"),
    ("identity", "users of other sites"),
    ("peer", "agent to agent: HTTP/2 over mutual TLS; without it no other site is reached"),
    ("metadata", "what is known of sites and services"),
    ("admin", "the admin API"),
    ("limits", "what a stranger can make grow, and how far"),
    ("timeouts", "how long is waited"),
    ("log", "the log, on standard error"),
    ("sites[]", "one for each other site"),
    ("services[]", "one for each service"),
];

/// The key of that path.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The section part of a path, and the key's own name.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

impl Kind {
    /// What a reader is told to write.
    pub fn describe(self) -> String {
        match self {
            Text => "text".into(),
            Path => "a path".into(),
            Flag => "true or false".into(),
            Count => "a number".into(),
            Size => r#"bytes: a number, or text such as "64KiB""#.into(),
            Duration => r#"a duration, such as "500ms", "30s", "5m""#.into(),
            Address => r#"an address with a port, such as "10.0.0.1:7117" or "[::1]:7117""#.into(),
            OneOf(words) => words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or "),
            Texts => "text or a list of texts".into(),
            Endpoints => r#"a table such as { Berlin = "http://10.0.0.1:80" }"#.into(),
        }
    }
}
