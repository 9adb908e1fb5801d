//! Two ends over real sockets on loopback, with real TLS: what an exchange is, and what must not pass for one.

mod exchange;
mod links;
mod measured;
mod members;
mod misbehaviour;
mod replaced;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::ClientLimits;
use super::server::ServerLimits;
use super::trust::{Authority, Trust, Validity};
use super::*;
use crate::metadata::Site;

/// Nothing here takes longer, however busy the machine.
const SOON: Duration = Duration::from_secs(60);

fn soon() -> Instant {
    Instant::now() + SOON
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("in time")
}

fn identity(federation: &str, site: &str, host: &str) -> PeerIdentity {
    PeerIdentity { federation: federation.to_owned(), site: site.into(), host: host.into() }
}

fn authority() -> Authority {
    Authority::new("edge", Validity::days(1)).expect("an authority")
}

/// A host's trust, read from files as the agent does.
fn trust(authority: &Authority, identity: &PeerIdentity) -> Arc<Trust> {
    trust_in(&[authority], identity, Validity::days(1), &Arc::default())
}

/// The trust of a host whose certificate is by the first of these authorities.
fn trust_in(
    authorities: &[&Authority],
    identity: &PeerIdentity,
    validity: Validity,
    revoked: &Arc<Revocations>,
) -> Arc<Trust> {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let issued = authorities[0].issue(identity, validity).expect("a certificate");
    let path = |name: &str| dir.path().join(name);
    let all: String = authorities.iter().map(|authority| authority.certificate()).collect();
    std::fs::write(path("ca"), all).expect("a file");
    std::fs::write(path("cert"), issued.certificate).expect("a file");
    std::fs::write(path("key"), issued.key).expect("a file");
    std::fs::set_permissions(path("key"), std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let trust = Trust::load(identity.clone(), &path("ca"), &path("cert"), &path("key"), revoked.clone());
    Arc::new(trust.expect("trust"))
}

fn client_limits() -> ClientLimits {
    ClientLimits {
        connect: Duration::from_secs(5),
        exchanges: 1024,
        keepalive: Duration::from_secs(15),
        user_timeout: Duration::from_secs(15),
    }
}

fn server_limits() -> ServerLimits {
    ServerLimits {
        handshake: Duration::from_secs(5),
        exchanges: 1024,
        keepalive: Duration::from_secs(15),
        user_timeout: Duration::from_secs(15),
    }
}

fn client(trust: Arc<Trust>) -> Client {
    Client::new(Security::Tls(trust), client_limits(), Arc::default())
}

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A room that serves exchanges, as a function.
struct By<F>(F);

impl<F: Fn(Call) -> Serving + Send + Sync + 'static> Serve for By<F> {
    async fn serve(&self, call: Call) {
        (self.0)(call).await;
    }

    async fn note(&self, call: Call) {
        (self.0)(call).await;
    }
}

/// A server that runs until it is dropped.
struct Running {
    address: SocketAddr,
    counters: Arc<Counters>,
    stop: CancellationToken,
    server: Arc<Server>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(
        security: Security,
        limits: ServerLimits,
        serve: impl Fn(Call) -> Serving + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self::start_on(listener, security, limits, serve)
    }

    fn start_on(
        listener: tokio::net::TcpListener,
        security: Security,
        limits: ServerLimits,
        serve: impl Fn(Call) -> Serving + Send + Sync + 'static,
    ) -> Self {
        let (counters, stop) = (Arc::<Counters>::default(), CancellationToken::new());
        let me = identity("edge", "Paris", "p1");
        let server = Arc::new(Server::on(listener, me, security, limits, counters.clone()));
        let address = server.local_addr().expect("an address");
        let (stopped, runs) = (stop.clone(), server.clone());
        let task = tokio::spawn(async move { runs.run(Arc::new(By(serve)), stopped).await });
        Self { address, counters, stop, server, task }
    }

    fn site(&self) -> Site {
        site("Paris", &[self.address.to_string()])
    }

    async fn counted(&self, count: Count, least: u64) {
        in_time(async {
            while self.counters.get(count) < least {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Paris's server with good certificates, and Berlin's client.
async fn pair(serve: impl Fn(Call) -> Serving + Send + Sync + 'static) -> (Running, Client) {
    let authority = authority();
    let paris = trust(&authority, &identity("edge", "Paris", "p1"));
    let running = Running::start(Security::Tls(paris), server_limits(), serve).await;
    (running, client(trust(&authority, &identity("edge", "Berlin", "b1"))))
}

fn site(name: &str, peers: &[String]) -> Site {
    Site { name: name.into(), own: false, peers: peers.to_vec(), hosts: Vec::new(), standing: Default::default() }
}

fn envelope() -> Envelope {
    let hop = Hop { site: "Berlin".into(), host: "b1".into() };
    let of_agent =
        Envelope::of_agent("Paris".into(), "Glance".into(), "127.0.0.1:9292".to_owned(), hop, Duration::from_secs(1));
    Envelope { request: "r-1".to_owned(), deadline: None, ..of_agent }
}
