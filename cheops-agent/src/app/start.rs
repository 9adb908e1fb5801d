//! The start, step by step.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::capture::Capture;
use super::doors::{Came, Doors};
use super::handover::{self, Talk};
use super::knowledge::{self, Knowledge};
use super::latencies;
use super::membership;
use super::metadata::{self, Backend, Publisher};
use super::peers::{self, Ends};
use super::renew::{Renewal, Signer};
use super::store::{NAME_ADMIN, NAME_ADMIN_TCP, NAME_PEER, Store};
use super::trust::{self, Trusting};
use super::{background, memory, metrics};
use crate::accept::Listeners;
use crate::act::{Shared, Tokens};
use crate::admin::agent::Known;
use crate::admin::life::Part;
use crate::admin::upgrade::{self, Asked};
use crate::admin::{self, Agent, Life};
use crate::config::{CgroupChoice, Config, InterceptMode, Loaded};
use crate::kernel::session::Sessions;
use crate::kernel::{self, Interceptor, Prepared, Sizes, cgroup};
use crate::metadata::{self as known, Aliases, Merged, Names, merge};
use crate::observe::Observer;
use crate::profile::Profiles;

/// A running agent: what reload and stop work with.
pub struct Started {
    pub agent: Arc<Agent>,
    pub capture: Capture,
    pub knowledge: Arc<Knowledge>,
    pub publisher: Arc<Publisher>,
    backend: Backend,
    pub peers: Option<Ends>,
    pub data: Handle,
    pub doors: Doors,
    pub store: Store,
    /// What is started when this agent is to be replaced.
    pub program: PathBuf,
    /// The admin API's listeners, by their names when they are handed on.
    pub admin_listeners: Vec<(String, OwnedFd)>,
    /// Tasks that end only with the agent.
    pub background: JoinSet<()>,
    pub admin: JoinSet<std::io::Result<()>>,
    /// Who asks for a successor.
    pub upgrades: mpsc::Receiver<Asked>,
}

/// Starts everything; when it returns, the agent is ready, or says in its log why it isn't yet.
///
/// # Errors
/// What makes this agent useless: an address that is taken, a certificate that can't be read, a kernel that refuses.
pub async fn start(path: &Path, loaded: Loaded, data: Handle) -> anyhow::Result<Started> {
    let (talk, mut store) = match Talk::as_successor()? {
        Some((talk, left)) => (Some(talk), Store::new(left)),
        None => (None, Store::of_systemd()),
    };
    let opened = open(&loaded.config, &data, &mut store).await?;
    if let Some(talk) = &talk {
        talk.say(&format!("prepared {}", std::process::id()))?;
        talk.hear("go", handover::WAITS)?;
    }
    let mut started = begin(path, loaded, data, opened, store)?;
    metrics::collect(&started.agent, &started.capture);
    started.serve_admin().await?;
    started.doors.open();
    started.agent.life.holds(Part::Listening);
    started.take().await?;
    if let Some(talk) = talk {
        ensure!(started.agent.life.waiting().is_empty(), "{}", started.agent.life.waiting().join("; "));
        talk.say("taken")?;
        // An agent that is gone meanwhile can't be waited for.
        drop(talk.hear("done", handover::WAITS));
    }
    started.keep();
    started.run_background();
    let (site, kernel) = (started.agent.config().site.clone(), started.capture.facts());
    tracing::info!(%site, version = env!("CARGO_PKG_VERSION"), %kernel, "the agent runs");
    Ok(started)
}

/// What the system gave: nothing of it serves yet, and nothing that runs was changed.
struct Opened {
    profiles: Profiles,
    metadata: Arc<known::Store>,
    backend: Backend,
    names: Names,
    merged: Merged,
    aliases: Aliases,
    listeners: Option<Listeners>,
    ends: Option<Ends>,
    prepared: Option<Prepared>,
}

async fn open(config: &Config, data: &Handle, store: &mut Store) -> anyhow::Result<Opened> {
    let profiles = Profiles::for_config(config).context("profiles")?;
    let listeners = open_listeners(config, data, store).await?;
    let ends = open_peers(config, data, store).await?;
    let (metadata, backend) = metadata::open(config, ends.as_ref())?;
    let mut names = Names::default();
    names.refresh(config, &metadata.view()).await;
    let merged = merge(config, &names, &metadata.view(), &metadata::addresses());
    let prepared = prepare(config, store)?;
    let before = prepared.as_ref().map(Prepared::guarded_before).unwrap_or_default();
    let aliases = knowledge::aliases(&merged.snapshot, before).await;
    Ok(Opened { profiles, metadata, backend, names, merged, aliases, listeners, ends, prepared })
}

/// Fills the kernel's maps and takes up what an earlier agent left; nothing is attached yet.
fn begin(path: &Path, loaded: Loaded, data: Handle, opened: Opened, store: Store) -> anyhow::Result<Started> {
    let Opened { profiles, metadata, backend, names, merged, aliases, listeners, ends, prepared } = opened;
    let config = &loaded.config;
    let capture = match (prepared, &listeners) {
        (Some(prepared), Some(listeners)) => {
            let _inside = data.enter();
            Capture::Ebpf(Interceptor::begin(prepared, config, listeners).context("the kernel programs")?)
        }
        _ => Capture::Off,
    };
    let mut shared = Shared::new(config.clone(), merged.snapshot, profiles, capture.origins(), Observer::new());
    shared.mark = capture.mark();
    shared.tokens = Arc::new(Tokens::open(&config.run_dir));
    if let Some(ends) = &ends {
        shared.peers = Some(ends.shown.client.clone());
        shared.liveness = ends.shown.liveness.clone();
    }
    shared.own.store(Arc::new(own_addresses(config, listeners.as_ref())?));
    background::keep_workflows(config, &shared);
    let known = Known::new(names, aliases, merged.refused);
    let (asks, upgrades) = upgrade::questions();
    let agent = agent(path, loaded, (metadata, known), &capture, Arc::new(shared), ends.as_ref(), asks)?;
    let agent = Arc::new(agent);
    let server = ends.as_ref().map(|ends| ends.server.clone());
    Ok(Started {
        knowledge: Arc::new(Knowledge::new(agent.clone(), capture.clone())),
        publisher: Arc::new(Publisher::new(agent.clone(), ends.clone())),
        doors: Doors::new(listeners, server, agent.shared.clone(), data.clone()),
        agent,
        backend,
        capture,
        peers: ends,
        data,
        store,
        program: std::env::current_exe().context("can't find this program")?,
        admin_listeners: Vec::new(),
        background: JoinSet::new(),
        admin: JoinSet::new(),
        upgrades,
    })
}

/// What the admin API shows.
fn agent(
    path: &Path,
    loaded: Loaded,
    (metadata, known): (Arc<known::Store>, Known),
    capture: &Capture,
    shared: Arc<Shared>,
    ends: Option<&Ends>,
    upgrades: mpsc::Sender<Asked>,
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
        known: Mutex::new(known),
        membership: match (&config.peer, ends) {
            (Some(peer), Some(ends)) => Some(membership::open(&config, peer, ends, &metadata)),
            _ => None,
        },
        metadata,
        peers: ends.map(|ends| ends.shown.clone()),
        kernel_facts: {
            let capture = capture.clone();
            Box::new(move || capture.facts())
        },
        kernel_checks: Box::new(move || kernel::preflight(&config)),
        upgrades,
        stop: CancellationToken::new(),
    })
}

fn parts(config: &Config) -> &'static [Part] {
    match config.intercept.mode {
        InterceptMode::Ebpf => &[Part::Listening, Part::Attached, Part::Probed],
        InterceptMode::Off => &[Part::Listening],
    }
}

async fn open_listeners(config: &Config, data: &Handle, store: &mut Store) -> anyhow::Result<Option<Listeners>> {
    match config.intercept.mode {
        InterceptMode::Off => Ok(None),
        InterceptMode::Ebpf => {
            let left = store.listeners();
            let listeners = data.spawn(async { Listeners::open_with(left) }).await?;
            Ok(Some(listeners.context("can't listen for taken connections")?))
        }
    }
}

async fn open_peers(config: &Config, data: &Handle, store: &mut Store) -> anyhow::Result<Option<Ends>> {
    let Some(peer) = config.peer.clone() else { return Ok(None) };
    let (config, left) = (config.clone(), store.take(NAME_PEER));
    Ok(Some(data.spawn(async move { peers::open(&config, &peer, left).await }).await??))
}

/// Loads the kernel programs.
fn prepare(config: &Config, store: &mut Store) -> anyhow::Result<Option<Prepared>> {
    match config.intercept.mode {
        InterceptMode::Off => Ok(None),
        InterceptMode::Ebpf => {
            let prepared = Interceptor::prepare(config, store.kernel(), Sizes::default());
            Ok(Some(prepared.context("the kernel programs can't be loaded; see cheops-agent --check")?))
        }
    }
}

/// Takes up the sessions that the agent before this one left.
fn open_sessions(config: &Config, capture: &Capture, shared: &Shared) -> anyhow::Result<Option<Arc<Sessions>>> {
    let Capture::Ebpf(interceptor) = capture else { return Ok(None) };
    let tree = match &config.intercept.cgroup {
        CgroupChoice::Auto => cgroup::mount().context("can't find the cgroup2 hierarchy")?,
        CgroupChoice::Path(path) => path.clone(),
    };
    let sessions = Sessions::open(&config.run_dir, &tree, interceptor.clone(), shared.sessions.clone());
    let sessions = sessions.context("can't keep sessions of cheops exec")?;
    interceptor.settle_sessions().context("sessions of cheops exec")?;
    Ok(Some(sessions))
}

/// Where the agent itself listens: never dialled, else connections would go round.
fn own_addresses(config: &Config, listeners: Option<&Listeners>) -> std::io::Result<Vec<std::net::SocketAddr>> {
    let mut own = listeners.map(Listeners::addresses).transpose()?.unwrap_or_default();
    own.extend(config.peer.as_ref().map(|peer| peer.listen));
    own.extend(config.admin.listen);
    Ok(own)
}

impl Started {
    async fn serve_admin(&mut self) -> anyhow::Result<()> {
        let config = self.agent.config();
        let path = &config.admin.socket;
        let socket = match self.store.take(NAME_ADMIN) {
            Some(left) => admin::socket(left),
            None => admin::bind_socket(path).await,
        };
        let socket = socket.with_context(|| format!("can't listen at {}", path.display()))?;
        self.admin_listeners.push((NAME_ADMIN.to_owned(), socket.as_fd().try_clone_to_owned()?));
        self.admin.spawn(admin::serve_socket(socket, self.agent.clone(), self.agent.stop.clone()));
        if let Some(address) = config.admin.listen {
            let listener = match self.store.take(NAME_ADMIN_TCP).and_then(|left| peers::usable(left, address)) {
                Some(listener) => Ok(listener),
                None => TcpListener::bind(address).await,
            };
            let listener = listener.with_context(|| format!("can't listen for the admin API at {address}"))?;
            self.admin_listeners.push((NAME_ADMIN_TCP.to_owned(), listener.as_fd().try_clone_to_owned()?));
            self.admin.spawn(admin::serve_tcp(listener, self.agent.clone(), self.agent.stop.clone()));
        }
        Ok(())
    }

    /// Guards the endpoints, attaches the programs, and proves that connections are taken.
    async fn take(&mut self) -> anyhow::Result<()> {
        self.knowledge.guard();
        if let Capture::Ebpf(interceptor) = &self.capture {
            {
                let _inside = self.data.enter();
                interceptor.attach().context("the kernel programs can't be attached; see cheops-agent --check")?;
            }
            self.agent.life.holds(Part::Attached);
            background::probe(&self.agent, interceptor).await;
        }
        Ok(())
    }

    /// Has systemd keep what outlives this agent.
    fn keep(&mut self) {
        match self.to_keep() {
            Ok(all) => self.store.keep(&all),
            Err(error) => tracing::error!(%error, "nothing can be kept; a restart will be noticed"),
        }
    }

    /// The admin API's listeners, to be handed on.
    ///
    /// # Errors
    /// Without free descriptors.
    pub fn admin_to_keep(&self) -> std::io::Result<Vec<(String, OwnedFd)>> {
        self.admin_listeners.iter().map(|(name, listener)| Ok((name.clone(), listener.try_clone()?))).collect()
    }

    /// Lets nothing in and changes nothing while a successor takes over, or does so again. What came in.
    pub async fn freeze(&mut self, frozen: bool) -> Option<Came> {
        self.agent.life.hand_over(frozen);
        self.agent.shared.workflows.hands_over(frozen);
        if let Some(sessions) = &self.agent.sessions {
            sessions.freeze(frozen);
        }
        if frozen { self.doors.close().await } else { None }
    }

    /// Everything that outlives this agent.
    pub fn to_keep(&self) -> std::io::Result<Vec<(String, OwnedFd)>> {
        let mut all = self.doors.to_keep()?;
        if let Capture::Ebpf(interceptor) = &self.capture {
            all.extend(interceptor.to_keep()?);
        }
        Ok(all)
    }

    fn run_background(&mut self) {
        self.background.spawn(self.knowledge.clone().keep());
        self.background.spawn(self.knowledge.clone().follow());
        self.background.spawn(metadata::follow(self.agent.metadata.clone(), self.backend.take()));
        self.background.spawn(memory::give_back());
        self.background.spawn(metadata::save(self.agent.metadata.clone()));
        self.background.spawn(self.publisher.clone().keep());
        self.background.spawn(background::workflows(self.agent.shared.clone()));
        if let Some(ends) = &self.peers {
            let (agent, ends) = (self.agent.clone(), ends.clone());
            self.background.spawn(Trusting::new(agent.clone(), ends.clone()).keep());
            ends.server.signing(Arc::new(Signer(agent.clone())));
            self.background.spawn(trust::rotate(agent.clone()));
            self.background.spawn(Renewal { agent, ends }.keep());
        }
        self.background.spawn(background::watchdog(self.agent.clone(), self.data.clone(), self.doors.watch()));
        if let Capture::Ebpf(interceptor) = &self.capture {
            self.background.spawn(background::probes(self.agent.clone(), interceptor.clone()));
        }
        if let Some(sessions) = self.agent.sessions.clone() {
            let stop = self.agent.stop.clone();
            self.background.spawn(sessions.watch(stop));
        }
        if let Some(peers) = self.agent.peers.clone() {
            self.background.spawn(latencies::keep(self.agent.clone()));
            let shared = self.agent.shared.clone();
            let config = self.agent.config();
            let own: Vec<String> = config.peer.iter().map(|peer| peer.listen.to_string()).collect();
            if let Some(peer) = &config.peer {
                let (liveness, listen, drain) = (peers.liveness.clone(), peer.listen, shared.drain.clone());
                // An agent that goes makes room for its successor's datagrams.
                let beat = async move {
                    tokio::select! { () = liveness.beat(listen) => {}, () = drain.cancelled() => {} }
                    std::future::pending().await
                };
                self.background.spawn_on(beat, &self.data);
            }
            self.background.spawn_on(
                async move { peers.liveness.run(&peers.client, || shared.snapshot.load_full(), &own).await },
                &self.data,
            );
        }
    }
}
