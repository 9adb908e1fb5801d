//! The start, step by step.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::capture::Capture;
use super::knowledge::Knowledge;
use super::peers::{self, Ends};
use super::{background, metrics};
use crate::accept::Listeners;
use crate::act::{ServePeer, Shared, door};
use crate::admin::agent::Known;
use crate::admin::life::Part;
use crate::admin::{self, Agent, Life};
use crate::config::{CgroupChoice, Config, InterceptMode, Loaded};
use crate::kernel::session::Sessions;
use crate::kernel::{self, Interceptor, cgroup};
use crate::metadata::{Names, build};
use crate::observe::Observer;
use crate::profile::Profiles;

/// A running agent: what reload and stop work with.
pub struct Started {
    pub agent: Arc<Agent>,
    pub capture: Capture,
    pub knowledge: Arc<Knowledge>,
    pub peers: Option<Ends>,
    pub data: Handle,
    /// Clients' connections.
    pub connections: TaskTracker,
    /// Ends the peer server's accepting.
    pub peer_stop: CancellationToken,
    pub peer_server: Option<JoinHandle<()>>,
    /// Tasks that end only with the agent.
    pub background: JoinSet<()>,
    pub admin: JoinSet<std::io::Result<()>>,
}

/// Starts everything; when it returns, the agent is ready, or says in its log why it isn't yet.
///
/// # Errors
/// What makes this agent useless: an address that is taken, a certificate that can't be read, a kernel that refuses.
pub async fn start(path: &Path, loaded: Loaded, data: Handle) -> anyhow::Result<Started> {
    let opened = open(&loaded.config, &data).await?;
    let Opened { names, listeners, ends, capture, shared } = opened;
    let agent = Arc::new(agent(path, loaded, names, &capture, shared, ends.as_ref())?);
    let knowledge = Arc::new(Knowledge::new(agent.clone(), capture.clone()));
    let mut started = Started {
        agent,
        capture,
        knowledge,
        peers: ends,
        data,
        connections: TaskTracker::new(),
        peer_stop: CancellationToken::new(),
        peer_server: None,
        background: JoinSet::new(),
        admin: JoinSet::new(),
    };
    started.count();
    started.serve_peers();
    started.serve_admin().await?;
    let accepting = started.accept(listeners);
    started.agent.life.holds(Part::Listening);
    started.take().await;
    started.run_background(accepting);
    let (site, kernel) = (started.agent.config().site.clone(), started.capture.facts());
    tracing::info!(%site, version = env!("CARGO_PKG_VERSION"), %kernel, "the agent runs");
    Ok(started)
}

/// What the system gave: nothing of it serves yet.
struct Opened {
    names: Names,
    listeners: Option<Listeners>,
    ends: Option<Ends>,
    capture: Capture,
    shared: Arc<Shared>,
}

async fn open(config: &Config, data: &Handle) -> anyhow::Result<Opened> {
    let profiles = Profiles::for_config(config).context("profiles")?;
    let mut names = Names::default();
    names.refresh(config).await;
    let snapshot = build(config, &names);
    let listeners = open_listeners(config, data).await?;
    let ends = open_peers(config, data).await?;
    let capture = attach(config, listeners.as_ref(), data).await?;

    let mut shared = Shared::new(config.clone(), snapshot, profiles, capture.origins(), Observer::new());
    shared.mark = capture.mark();
    if let Some(ends) = &ends {
        shared.peers = Some(ends.shown.client.clone());
        shared.liveness = ends.shown.liveness.clone();
    }
    shared.own.store(Arc::new(own_addresses(config, listeners.as_ref())?));
    Ok(Opened { names, listeners, ends, capture, shared: Arc::new(shared) })
}

/// What the admin API shows.
fn agent(
    path: &Path,
    loaded: Loaded,
    names: Names,
    capture: &Capture,
    shared: Arc<Shared>,
    ends: Option<&Ends>,
) -> anyhow::Result<Agent> {
    let config = loaded.config;
    let observer = shared.observer.clone();
    Ok(Agent {
        sessions: open_sessions(&config, capture, &shared)?,
        life: Arc::new(Life::new(parts(&config), observer.clone())),
        shared,
        observer,
        config_path: path.to_owned(),
        files: Mutex::new(loaded.files),
        started: Instant::now(),
        known: Mutex::new(Known::new(names)),
        peers: ends.map(|ends| ends.shown.clone()),
        kernel_facts: {
            let capture = capture.clone();
            Box::new(move || capture.facts())
        },
        kernel_checks: Box::new(move || kernel::preflight(&config)),
        stop: CancellationToken::new(),
    })
}

fn parts(config: &Config) -> &'static [Part] {
    match config.intercept.mode {
        InterceptMode::Ebpf => &[Part::Listening, Part::Attached, Part::Probed],
        InterceptMode::Off => &[Part::Listening],
    }
}

async fn open_listeners(config: &Config, data: &Handle) -> anyhow::Result<Option<Listeners>> {
    match config.intercept.mode {
        InterceptMode::Off => Ok(None),
        InterceptMode::Ebpf => {
            let listeners = data.spawn(async { Listeners::open() }).await?;
            Ok(Some(listeners.context("can't listen for taken connections")?))
        }
    }
}

async fn open_peers(config: &Config, data: &Handle) -> anyhow::Result<Option<Ends>> {
    let Some(peer) = config.peer.clone() else { return Ok(None) };
    let config = config.clone();
    Ok(Some(data.spawn(async move { peers::open(&config, &peer).await }).await??))
}

/// Loads and attaches; nothing is taken yet, since nothing is guarded.
async fn attach(config: &Config, listeners: Option<&Listeners>, data: &Handle) -> anyhow::Result<Capture> {
    let Some(listeners) = listeners else { return Ok(Capture::Off) };
    let _inside = data.enter();
    let interceptor = Interceptor::start(config, listeners)
        .context("the kernel programs can't be attached; see cheops-agent --check")?;
    Ok(Capture::Ebpf(interceptor))
}

/// Takes up the sessions that the agent before this one left.
fn open_sessions(config: &Config, capture: &Capture, shared: &Shared) -> anyhow::Result<Option<Arc<Sessions>>> {
    let Capture::Ebpf(interceptor) = capture else { return Ok(None) };
    let tree = match &config.intercept.cgroup {
        CgroupChoice::Auto => cgroup::mount().context("can't find the cgroup2 hierarchy")?,
        CgroupChoice::Path(path) => path.clone(),
    };
    let sessions = Sessions::open(&config.run_dir, &tree, interceptor.clone(), shared.sessions.clone());
    Ok(Some(sessions.context("can't keep sessions of cheops exec")?))
}

/// Where the agent itself listens: never dialled, else connections would go round.
fn own_addresses(config: &Config, listeners: Option<&Listeners>) -> std::io::Result<Vec<std::net::SocketAddr>> {
    let mut own = listeners.map(Listeners::addresses).transpose()?.unwrap_or_default();
    own.extend(config.peer.as_ref().map(|peer| peer.listen));
    own.extend(config.admin.listen);
    Ok(own)
}

impl Started {
    /// Adds the figures of other rooms to the metrics.
    fn count(&self) {
        self.agent.observer.add_collector(Box::new(metrics::Kernel(self.capture.clone())));
        if let Some(sessions) = self.agent.sessions.clone() {
            self.agent.observer.add_collector(Box::new(metrics::Exec(sessions)));
        }
        let calls = metrics::Calls(self.agent.shared.workflows.clone());
        self.agent.observer.add_collector(Box::new(calls));
        if let Some(peers) = self.agent.peers.clone() {
            let links = metrics::Links { peers, shared: self.agent.shared.clone() };
            self.agent.observer.add_collector(Box::new(links));
        }
    }

    fn serve_peers(&mut self) {
        let Some(ends) = &self.peers else { return };
        let (server, shared, stop) = (ends.server.clone(), self.agent.shared.clone(), self.peer_stop.clone());
        let serve = Arc::new(ServePeer(shared));
        self.peer_server = Some(self.data.spawn(async move { server.run(serve, stop).await }));
    }

    async fn serve_admin(&mut self) -> anyhow::Result<()> {
        let config = self.agent.config();
        let path = &config.admin.socket;
        let socket = admin::bind_socket(path).await;
        let socket = socket.with_context(|| format!("can't listen at {}", path.display()))?;
        self.admin.spawn(admin::serve_socket(socket, self.agent.clone(), self.agent.stop.clone()));
        if let Some(address) = config.admin.listen {
            let listener = TcpListener::bind(address).await;
            let listener = listener.with_context(|| format!("can't listen for the admin API at {address}"))?;
            self.admin.spawn(admin::serve_tcp(listener, self.agent.clone(), self.agent.stop.clone()));
        }
        Ok(())
    }

    fn accept(&self, listeners: Option<Listeners>) -> Option<JoinHandle<()>> {
        let listeners = listeners?;
        Some(self.data.spawn(door::run(listeners, self.agent.shared.clone(), self.connections.clone())))
    }

    /// Guards the endpoints, and proves that connections are taken.
    async fn take(&self) {
        self.knowledge.renew().await;
        if let Capture::Ebpf(interceptor) = &self.capture {
            self.agent.life.holds(Part::Attached);
            background::probe(&self.agent, interceptor).await;
        }
    }

    fn run_background(&mut self, accepting: Option<JoinHandle<()>>) {
        self.background.spawn(self.knowledge.clone().keep());
        self.background.spawn(background::watchdog(self.agent.clone(), self.data.clone(), accepting));
        if let Capture::Ebpf(interceptor) = &self.capture {
            self.background.spawn(background::probes(self.agent.clone(), interceptor.clone()));
        }
        if let Some(sessions) = self.agent.sessions.clone() {
            let stop = self.agent.stop.clone();
            self.background.spawn(sessions.watch(stop));
        }
        if let Some(peers) = self.agent.peers.clone() {
            let shared = self.agent.shared.clone();
            let own: Vec<String> = self.agent.config().peer.iter().map(|peer| peer.listen.to_string()).collect();
            self.background.spawn_on(
                async move { peers.liveness.run(&peers.client, || shared.snapshot.load_full(), &own).await },
                &self.data,
            );
        }
    }
}
