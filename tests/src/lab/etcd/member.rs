//! One member: a process, its data, and what it tells of itself.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{EtcdCluster, Release};
use crate::lab::{Host, lock};

const CLIENTS: u16 = 2379;
const PEERS: u16 = 2380;
const METRICS: u16 = 2381;

/// The token that is a part of the cluster's id.
const TOKEN: &str = "cheops-lab";

/// Lines of a log that are shown.
const SHOWN: usize = 60;

/// Where other members reach the one at `host`.
pub(super) fn peer_url(host: &Host) -> String {
    format!("http://{}", host.at(PEERS))
}

/// A member of a cluster. All of it is killed when dropped.
pub struct EtcdMember {
    host: Host,
    plan: EtcdCluster,
    /// Certificates are here, and this member's files.
    directory: PathBuf,
    initial: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    process: Option<Child>,
    frozen: bool,
}

impl EtcdMember {
    pub(super) fn new(host: &Host, plan: &EtcdCluster, directory: &Path, initial: &str) -> Self {
        let (host, directory) = (host.clone(), directory.to_owned());
        Self { host, plan: plan.clone(), directory, initial: initial.to_owned(), state: Mutex::default() }
    }

    /// The site that it is at.
    pub fn site(&self) -> &str {
        self.host.site()
    }

    /// The host that it runs at.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Where clients ask it.
    pub fn client_url(&self) -> String {
        let scheme = if self.plan.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.host.at(CLIENTS))
    }

    fn data(&self) -> PathBuf {
        self.directory.join(format!("{}.data", self.site()))
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.site()))
    }

    /// Starts the process with the data that is there; [`super::Etcd::wait_ready`] waits for it.
    pub fn start(&self) -> anyhow::Result<()> {
        let mut state = lock(&self.state);
        if state.process.is_some() {
            bail!("etcd at {} runs already", self.site());
        }
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = self.host.command(self.program("etcd", "server")?);
        command.args(["--name", self.site(), "--logger", "zap", "--log-level", "warn"]);
        command.arg("--data-dir").arg(self.data());
        let (clients, peers) = (self.client_url(), peer_url(&self.host));
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--listen-metrics-urls", &format!("http://{}", self.host.at(METRICS))]);
        command.args(["--initial-cluster", &self.initial, "--initial-cluster-token", TOKEN]);
        command.args(["--heartbeat-interval", &self.plan.heartbeat.as_millis().to_string()]);
        command.args(["--election-timeout", &self.plan.election.as_millis().to_string()]);
        if self.plan.tls {
            let file = |name: String| self.directory.join(name);
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(file("ca.pem".into()));
            command.arg("--cert-file").arg(file(format!("{}.pem", self.site())));
            command.arg("--key-file").arg(file(format!("{}.key", self.site())));
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        state.process = Some(command.spawn().context("can't start etcd")?);
        state.frozen = false;
        Ok(())
    }

    fn program(&self, debian: &str, today: &str) -> anyhow::Result<PathBuf> {
        let path = match self.plan.release {
            Release::Debian => Path::new("/usr/bin").join(debian),
            Release::Today => {
                let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/etcd/bin");
                tools.join(today)
            }
        };
        if !path.exists() {
            bail!("there is no {}; run: cargo xtask setup", path.display());
        }
        Ok(path)
    }

    /// Whether its process was started and neither killed nor frozen.
    pub fn runs(&self) -> bool {
        let state = lock(&self.state);
        state.process.is_some() && !state.frozen
    }

    /// Kills it (SIGKILL), and waits until it is gone.
    pub fn kill(&self) -> anyhow::Result<()> {
        let mut state = lock(&self.state);
        if let Some(mut process) = state.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Freezes it (SIGSTOP): connections stay, and nothing is answered.
    pub fn sigstop(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP, true)
    }

    /// Ends [`EtcdMember::sigstop`].
    pub fn sigcont(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT, false)
    }

    fn signal(&self, signal: Signal, frozen: bool) -> anyhow::Result<()> {
        let mut state = lock(&self.state);
        let process = state.process.as_ref().with_context(|| format!("etcd at {} doesn't run", self.site()))?;
        kill(Pid::from_raw(i32::try_from(process.id())?), signal)?;
        state.frozen = frozen;
        Ok(())
    }

    /// Removes the data of a member that doesn't run.
    pub fn wipe(&self) -> anyhow::Result<()> {
        if lock(&self.state).process.is_some() {
            bail!("etcd at {} runs", self.site());
        }
        match std::fs::remove_dir_all(self.data()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Gives a member that was wiped the data of a snapshot.
    pub fn restore(&self, snapshot: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(self.program("etcdctl", "etcdutl")?);
        command.env("ETCDCTL_API", "3").args(["snapshot", "restore"]).arg(snapshot).arg("--data-dir").arg(self.data());
        command.args(["--name", self.site(), "--initial-cluster", &self.initial]);
        command.args(["--initial-cluster-token", TOKEN, "--initial-advertise-peer-urls", &peer_url(&self.host)]);
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            bail!("can't restore the snapshot: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Whether it serves, which it does with a leader alone.
    pub fn healthy(&self) -> bool {
        self.ask("/health").is_some_and(|said| said.contains("\"health\":\"true\""))
    }

    /// A metric without labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let said = self.ask("/metrics")?;
        let line = said.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    fn ask(&self, path: &str) -> Option<String> {
        if !self.runs() {
            return None;
        }
        let url = format!("http://{}{path}", self.host.at(METRICS));
        Some(self.host.curl(&["--max-time", "2", &url]).ok()?.text())
    }

    /// The last of what it logged.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default().join("\n")
    }
}

impl Drop for EtcdMember {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("lab: etcd at {}: {error:#}", self.site());
        }
    }
}
