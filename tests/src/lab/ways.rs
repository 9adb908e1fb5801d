//! The ways from a client to a service: straight, or through an agent.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use cheops_agent::accept::{Listeners, OriginError, Origins, Taken};
use cheops_agent::act::{Shared, door};
use cheops_agent::address::{ClientAddr, OrigDst};
use cheops_agent::metadata::{Names, build};
use cheops_agent::observe::Observer;
use cheops_agent::profile::Profiles;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::script::{Got, Meeting, Step, play};
use super::{Federation, Host, Offered, lock};

/// A way from a client to a service.
pub trait Way: Sync {
    /// A new connection: the client's end and the service's. May be called by several threads at once.
    fn open(&self) -> anyhow::Result<(TcpStream, TcpStream)>;

    /// Connections that went through an agent until now.
    fn taken(&self) -> anyhow::Result<u64>;
}

/// Plays both scripts at once; what the client and the service got. A service that doesn't close reads on to the end.
///
/// # Errors
/// What an end waited for and did not come.
pub fn run(way: &dyn Way, client: &[Step], service: &[Step]) -> anyhow::Result<(Got, Got)> {
    let (near, far) = way.open()?;
    let to_the_end = [service, &[Step::End]].concat();
    let (at_client, at_service) = both(near, client, far, &to_the_end);
    let failed = |end: &str, error: String| anyhow::anyhow!("the {end}: {error}");
    Ok((at_client.map_err(|error| failed("client", error))?, at_service.map_err(|error| failed("service", error))?))
}

fn both(
    near: TcpStream,
    client: &[Step],
    far: TcpStream,
    service: &[Step],
) -> (Result<Got, String>, Result<Got, String>) {
    let (here, there) = Meeting::pair();
    std::thread::scope(|scope| {
        let service = scope.spawn(move || play(far, service, &there));
        let client = play(near, client, &here);
        // A service that still waits to meet is told that nobody comes.
        drop(here);
        let service = service.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (client, service)
    })
}

/// Tells how many cases there were, beside the test's name; fails with all that went wrong.
///
/// # Errors
/// The failures.
pub fn report(what: &str, cases: usize, failures: &[String]) -> anyhow::Result<()> {
    // Not by print!, which the test harness keeps back.
    write!(std::io::stdout(), "({cases} {what}) ")?;
    anyhow::ensure!(failures.is_empty(), "{} of {cases} {what} went wrong:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// Straight, over loopback.
pub struct Direct {
    service: Mutex<TcpListener>,
}

impl Direct {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { service: Mutex::new(TcpListener::bind("127.0.0.1:0")?) })
    }
}

impl Way for Direct {
    fn open(&self) -> anyhow::Result<(TcpStream, TcpStream)> {
        let service = lock(&self.service);
        let client = TcpStream::connect(service.local_addr()?)?;
        Ok((client, service.accept()?.0))
    }

    fn taken(&self) -> anyhow::Result<u64> {
        Ok(0)
    }
}

/// The agent's data path in this process, without kernel programs, before one service.
pub struct Door {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Ends with the door.
    _runtime: tokio::runtime::Runtime,
}

/// Through a [`Door`] to a service that the test plays.
pub struct InProcess {
    service: Mutex<TcpListener>,
    door: Door,
}

/// Every connection was going to one service.
struct To(SocketAddr);

impl Origins for To {
    fn taken(&self, connection: &tokio::net::TcpStream) -> Result<Taken, OriginError> {
        let client = ClientAddr::new(connection.peer_addr()?);
        Ok(Taken { orig: OrigDst::new(self.0), client, session: None })
    }

    fn announce(&self, _socket: BorrowedFd<'_>, _client: ClientAddr) -> std::io::Result<()> {
        Ok(())
    }
}

impl Door {
    /// Every connection to the door goes to `service`.
    pub fn to(service: SocketAddr) -> anyhow::Result<Self> {
        Self::configured(service, "site = \"Berlin\"")
    }

    fn configured(service: SocketAddr, text: &str) -> anyhow::Result<Self> {
        let config = cheops_agent::config::load::from_text(text)?.config;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let mut names = Names::default();
        runtime.block_on(names.refresh(&config, &Default::default()));
        let (snapshot, origins) = (build(&config, &names), Arc::new(To(service)));
        let shared = Arc::new(Shared::new(config, snapshot, Profiles::built_in()?, origins, Observer::new()));
        let listeners = runtime.block_on(async { Listeners::open() })?;
        let address = listeners.addresses()?.into_iter().find(SocketAddr::is_ipv4).context("no IPv4")?;
        runtime.spawn(door::run(listeners.into(), Arc::clone(&shared), TaskTracker::new(), CancellationToken::new()));
        Ok(Self { address, shared, _runtime: runtime })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl InProcess {
    pub fn new() -> anyhow::Result<Self> {
        Self::configured(|_| "site = \"Berlin\"".to_owned())
    }

    /// With the configuration that `text` writes for a service at this address.
    pub fn configured(text: impl FnOnce(SocketAddr) -> String) -> anyhow::Result<Self> {
        let service = TcpListener::bind("127.0.0.1:0")?;
        let address = service.local_addr()?;
        let door = Door::configured(address, &text(address))?;
        Ok(Self { service: Mutex::new(service), door })
    }
}

impl Way for InProcess {
    fn open(&self) -> anyhow::Result<(TcpStream, TcpStream)> {
        let service = lock(&self.service);
        let client = TcpStream::connect(self.door.address)?;
        Ok((client, service.accept()?.0))
    }

    fn taken(&self) -> anyhow::Result<u64> {
        Ok(self.door.shared.observer.connections_taken())
    }
}

/// Through a real agent whose kernel programs take the connection, at the site that the service is at.
pub struct Lab {
    federation: Federation,
    service: Mutex<TcpListener>,
    client: Host,
    address: SocketAddr,
}

/// Where the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the service's own host: its connections are taken where they leave.
    Here,
    /// At another host without an agent: its connections are taken where they arrive.
    Elsewhere,
}

impl Lab {
    pub fn new(from: From) -> anyhow::Result<Self> {
        let listening = Mutex::new(None);
        let builder = Federation::builder().sites(&["Berlin"]).service(Offered::new("app", 8080).unserved());
        let listen = |host: &Host| {
            let listener = host.listen(host.at(8080))?;
            *lock(&listening) = Some(listener);
            Ok(())
        };
        let federation = builder.prepare(listen).start()?;
        let berlin = federation.host("Berlin").clone();
        let client = match from {
            From::Here => berlin.clone(),
            From::Elsewhere => federation.world().site("Nantes")?,
        };
        let address = berlin.at(8080);
        let service = Mutex::new(lock(&listening).take().context("nobody listens")?);
        Ok(Self { federation, service, client, address })
    }
}

impl Lab {
    /// The TCP sockets at the service's host, as `ss` prints them.
    ///
    /// # Errors
    /// When `ss` can't be run.
    pub fn table(&self) -> anyhow::Result<String> {
        let output = self.federation.host("Berlin").run("ss", &["--tcp", "--numeric", "--all"])?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Way for Lab {
    fn open(&self) -> anyhow::Result<(TcpStream, TcpStream)> {
        let listener = lock(&self.service);
        let client = self.client.connect(self.address)?.into_stream();
        let local = client.local_addr()?;
        loop {
            // What else comes is the agent's, which looks whether the service is there.
            let (service, peer) = listener.accept()?;
            if peer == local {
                return Ok((client, service));
            }
        }
    }

    fn taken(&self) -> anyhow::Result<u64> {
        let taken = self.federation.agent("Berlin").metric("cheops_connections_taken_total")?;
        Ok(taken.context("no such metric")? as u64)
    }
}
