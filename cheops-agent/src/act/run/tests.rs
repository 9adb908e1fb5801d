//! Agents of several sites without their kernel programs: real links between them, real connections to small services.

mod drained;
mod lists;
mod notes;
mod otherwise;
mod sharing;
mod small;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::small::{Does, Small};
use super::*;
use crate::act::exchange::{Finished, Next};
use crate::act::{ServePeer, fakes, ids};
use crate::address::{ClientAddr, OrigDst};
use crate::http::reply::{self, Manner};
use crate::metadata::{Endpoint, Service, Site, Snapshot};
use crate::observe::Observer;
use crate::peer::client::ClientLimits;
use crate::peer::server::ServerLimits;
use crate::peer::trust::{Authority, Trust, Validity};
use crate::peer::{Client, Counters, PeerIdentity, Security, Server};
use crate::plan::{Asked, Decision, World, decide};
use crate::profile::Profiles;

/// Nothing here takes longer, however busy the machine.
const SOON: Duration = Duration::from_secs(60);

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("in time")
}

/// One site: its agent, and its instance of the service.
struct AtSite {
    shared: Arc<Shared>,
    service: Small,
    origins: Arc<fakes::Direct>,
    counters: Arc<Counters>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl AtSite {
    /// The agent dies: its listener and its links are gone.
    async fn kill(&mut self) {
        self.task.abort();
        assert!((&mut self.task).await.is_err());
    }

    /// [`kill`](Self::kill), and `other`, which had a link to it, has noticed: a request until then would be lost.
    async fn kill_seen_by(&mut self, other: &AtSite) {
        self.kill().await;
        let (name, peers) = (self.shared.config.load().site.clone(), other.shared.peers.as_ref().expect("peers"));
        let up = || peers.links().into_iter().any(|(site, _, trouble)| site == name && trouble.is_none());
        tokio::time::timeout(SOON, async {
            while up() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("noticed");
    }
}

impl Drop for AtSite {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

/// A federation of Berlin, Paris and Nantes. The service is Glance.
struct Sites {
    berlin: AtSite,
    paris: AtSite,
    nantes: AtSite,
}

/// What may be otherwise than usual.
#[derive(Clone)]
struct Options {
    prefixes: [&'static str; 3],
    export: bool,
    own_host: bool,
    spool: usize,
    exchange: Duration,
    profile: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self { prefixes: ["", "", ""], export: true, own_host: false, spool: 1 << 20, exchange: SOON, profile: "rest" }
    }
}

const NAMES: [&str; 3] = ["Berlin", "Paris", "Nantes"];

async fn sites(does: [Does; 3]) -> Sites {
    sites_with(does, Options::default()).await
}

async fn sites_with(does: [Does; 3], options: Options) -> Sites {
    let authority = Authority::new("edge", Validity::days(1)).expect("an authority");
    let mut services = Vec::new();
    let mut listeners = Vec::new();
    for does in does {
        services.push(Small::start(does).await);
        listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    }
    let addresses: Vec<_> = services.iter().map(|service| service.address).collect();
    let peers: Vec<_> = listeners.iter().map(|listener| listener.local_addr().expect("bound")).collect();
    let mut made = services.into_iter().zip(listeners).enumerate().map(|(number, (service, listener))| {
        let snapshot = snapshot(number, &addresses, &peers, &options);
        agent(NAMES[number], listener, snapshot, service, &authority, &options)
    });
    let mut next = || made.next().expect("three");
    Sites { berlin: next(), paris: next(), nantes: next() }
}

fn snapshot(own: usize, addresses: &[SocketAddr], peers: &[SocketAddr], options: &Options) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let mut endpoints = std::collections::BTreeMap::new();
    for (number, name) in NAMES.into_iter().enumerate() {
        let (address, peer) = (addresses[number], peers[number]);
        let site = Site {
            name: name.into(),
            own: number == own,
            peers: vec![peer.to_string()],
            hosts: Vec::new(),
            standing: Default::default(),
        };
        snapshot.sites.insert(name.into(), site);
        let prefix = options.prefixes[number].to_owned();
        let endpoint = Endpoint { https: false, authority: address.to_string(), addresses: vec![address], prefix };
        endpoints.insert(name.into(), vec![endpoint]);
    }
    let host = if options.own_host { crate::config::HostHeader::Own } else { crate::config::HostHeader::Client };
    snapshot.services.push(Arc::new(Service {
        name: "Glance".into(),
        kind: Some("image".to_owned()),
        profile: options.profile.to_owned(),
        when_agent_down: crate::config::WhenAgentDown::Pass,
        host,
        export: options.export,
        parameter: true,
        endpoints,
    }));
    snapshot
}

fn agent(
    name: &str,
    listener: TcpListener,
    snapshot: Snapshot,
    service: Small,
    authority: &Authority,
    options: &Options,
) -> AtSite {
    let mut config = fakes::config();
    (config.site, config.host) = (name.into(), "h1".into());
    config.limits.otherwise_spool = options.spool;
    config.timeouts.exchange = options.exchange;
    config.timeouts.connect = Duration::from_secs(20);
    let identity = PeerIdentity { federation: "edge".to_owned(), site: config.site.clone(), host: config.host.clone() };
    let trust = trust(authority, &identity);
    let keepalive = Duration::from_secs(15);
    let limits = ClientLimits { connect: config.timeouts.connect, exchanges: 100, keepalive, user_timeout: keepalive };
    let client = Client::new(Security::Tls(trust.clone()), limits, Arc::default());
    let (counters, stop) = (Arc::<Counters>::default(), CancellationToken::new());
    let limits = ServerLimits { handshake: SOON, exchanges: 100, keepalive, user_timeout: keepalive };
    let origins = Arc::new(fakes::Direct::default());
    let server = Server::on(listener, identity, Security::Tls(trust), limits, counters.clone());
    let profiles = profiles();
    let mut shared = Shared::new(config, snapshot, profiles, origins.clone(), Observer::new());
    shared.peers = Some(Arc::new(client));
    let shared = Arc::new(shared);
    let (serve, stopped) = (Arc::new(ServePeer(shared.clone())), stop.clone());
    let task = tokio::spawn(async move { server.run(serve, stopped).await });
    AtSite { shared, service, origins, counters, stop, task }
}

fn profiles() -> Profiles {
    let dir = tempfile::tempdir().expect("a directory");
    let text = "version = 1\nabout = \"full\"\n[conventional]\nskip = []\n[methods]\n\
        collection = { GET = \"list\", POST = \"create\" }\nitem = { GET = \"read\" }\n\
        [[capacity]]\nstatus = 507\n[[capacity]]\nstatus = 500\nbody = \"No valid host\"\n";
    std::fs::write(dir.path().join("full.toml"), text).expect("a file");
    std::fs::write(dir.path().join("images.toml"), lists::PROFILE).expect("a file");
    Profiles::load(&[dir.path().to_owned()]).expect("profiles")
}

fn trust(authority: &Authority, identity: &PeerIdentity) -> Arc<Trust> {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let issued = authority.issue(identity, Validity::days(1)).expect("a certificate");
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("ca"), authority.certificate()).expect("a file");
    std::fs::write(path("cert"), issued.certificate).expect("a file");
    std::fs::write(path("key"), issued.key).expect("a file");
    std::fs::set_permissions(path("key"), std::fs::Permissions::from_mode(0o600)).expect("a mode");
    Arc::new(Trust::load(identity.clone(), &path("ca"), &path("cert"), &path("key"), Arc::default()).expect("trust"))
}

/// What came of one request at an agent.
struct Outcome {
    /// All that the client got.
    answer: String,
    sites: Vec<String>,
    ended: Result<Finished, RunError>,
}

impl Outcome {
    fn head(&self) -> &str {
        self.answer.split_inclusive("\r\n\r\n").next().expect("a head")
    }

    fn body(&self) -> &str {
        self.answer.split_once("\r\n\r\n").expect("a head").1
    }

    /// The stable code and the detail of an answer that the agent made.
    fn problem(&self) -> (String, String) {
        let document: serde_json::Value = serde_json::from_str(self.body()).expect("a problem document");
        let text = |name: &str| document[name].as_str().expect("text").to_owned();
        assert_eq!(document["source"], "cheops");
        (text("code"), text("detail"))
    }

    fn refusal_code(&self) -> String {
        self.problem().0
    }
}

/// One request to Glance's endpoint of `addressed`, as the agent `at` sees it.
async fn ask(at: &AtSite, addressed: &AtSite, request: &str) -> Outcome {
    let (near, far) = duplex(64 * 1024);
    let (mut client, request) = (far, request.to_owned());
    let talking = async move {
        client.write_all(request.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("read");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let (ran, answer) = in_time(async { tokio::join!(take(at, addressed, near), talking) }).await;
    Outcome { answer, sites: ran.sites.iter().map(ToString::to_string).collect(), ended: ran.ended }
}

/// What the agent does with a client's first request.
async fn take(at: &AtSite, addressed: &AtSite, client: DuplexStream) -> Ran {
    let mut client = Wire::new(client);
    let end = loop {
        if let Some(end) = client.pending.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        assert!(client.fill().await.expect("read") > 0, "a whole head");
    };
    let request = RequestHead::parse(client.pending.split_to(end).freeze(), 100).expect("a request");
    let (plan, head) = planned(at, addressed, &request);
    let from = ClientAddr::new("10.9.8.7:6543".parse().expect("an address"));
    let ran = tokio::spawn({
        // Spawned: this must be a future that a connection's task can hold.
        let (shared, request, head, plan) = (at.shared.clone(), request.clone(), head.clone(), plan.clone());
        async move {
            let entered = ids::enter(&shared, &request, head, &plan).expect("it fits");
            let scoped = Scoped {
                request: &request,
                head: &entered.head,
                plan: &plan,
                client: from,
                connection: 1,
                id: "r-1",
                links: &entered.links,
                kept: None,
                restored: &entered.restored,
                told: &ids::Told::default(),
            };
            let ran = run(&shared, &mut client, scoped).await;
            (ran, client)
        }
    });
    let (ran, mut client) = ran.await.expect("no panic");
    if let Err(RunError::Refused { problem, body_taken }) = &ran.ended {
        assert!(!body_taken || client.pending.is_empty(), "this request's body would be read as the next request");
        client.send(reply::problem(problem, "r-1", Manner::of(&request, *body_taken))).await.expect("written");
    }
    ran
}

fn planned(at: &AtSite, addressed: &AtSite, request: &RequestHead) -> (crate::plan::Plan, Bytes) {
    let (config, snapshot) = (at.shared.config.load(), at.shared.snapshot.load());
    let profiles = at.shared.profiles.load();
    let (carriers, here, distances) = (&config.scope, &config.site, at.shared.liveness.distances());
    let world = World { snapshot: &snapshot, distances: &distances, profiles: &profiles, carriers, here };
    let orig = OrigDst::new(addressed.service.address);
    let asked = Asked { head: request, orig, session: None, workflow: None };
    match decide(&asked, &world) {
        Decision::Scoped { plan, head } => (*plan, head),
        other => panic!("not scoped: {other:?}"),
    }
}
