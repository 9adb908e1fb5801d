//! The real agent, as a process at a host.

pub(super) mod files;

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use files::{Files, Settings};

use super::client::Answer;
use super::eventually;
use super::host::Host;

/// How long the agent may take to be ready.
pub(super) const READY: Duration = Duration::from_secs(30);

/// How long it may take to end after SIGTERM, beyond its own drain time.
const END: Duration = Duration::from_secs(45);

/// Lines of an agent's log that are shown.
const SHOWN: usize = 400;

/// An agent. Killed when dropped; its log is printed then, which the test harness shows if the test failed.
pub struct Agent {
    host: Host,
    files: Files,
    notifications: UnixDatagram,
    process: Option<Child>,
    quiet: bool,
    /// Whether it sees the accounts of its own files.
    accounts: bool,
}

/// Lets the program see `passwd` and `group` of the directory `$0` as the system's.
const ACCOUNTS: &str = r#"mount --make-rprivate / && mount --bind "$0/group" /etc/group &&
    mount --bind "$0/passwd" /etc/passwd && exec "$@""#;

impl Agent {
    /// Starts the agent with these files, and waits until it is ready.
    ///
    /// # Errors
    /// When the program isn't built, or the agent ends or isn't ready in time: the error has its log.
    pub fn start(host: &Host, files: Files) -> anyhow::Result<Self> {
        let mut agent = Self::prepare(host, files)?;
        agent.launch()?;
        agent.wait_ready(READY)?;
        Ok(agent)
    }

    /// An agent that isn't started yet; see [`Agent::launch`].
    pub fn prepare(host: &Host, files: Files) -> anyhow::Result<Self> {
        let path = files.directory().join("notify.sock");
        let notifications = UnixDatagram::bind(&path).with_context(|| format!("can't bind {}", path.display()))?;
        Ok(Self { host: host.clone(), files, notifications, process: None, quiet: false, accounts: false })
    }

    /// Starts the process without waiting for it to be ready.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            bail!("the agent at {} runs already", self.host.name());
        }
        self.drain_notifications()?;
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = if self.accounts {
            let mut command = self.host.command("unshare");
            command.args(["--mount", "sh", "-c", ACCOUNTS]).arg(self.files.directory()).arg(agent_program()?);
            command
        } else {
            self.host.command(agent_program()?)
        };
        command
            .arg("--config")
            .arg(self.files.config())
            .env("NOTIFY_SOCKET", self.files.directory().join("notify.sock"))
            .env_remove("WATCHDOG_USEC")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.process = Some(command.spawn().context("can't start the agent")?);
        Ok(())
    }

    /// Waits until the agent says that it is ready.
    pub fn wait_ready(&mut self, within: Duration) -> anyhow::Result<()> {
        self.wait_notification("READY=1", within)
    }

    /// Waits for a line that the agent tells systemd, such as `STOPPING=1`.
    pub fn wait_notification(&mut self, line: &str, within: Duration) -> anyhow::Result<()> {
        self.notifications.set_read_timeout(Some(Duration::from_millis(20)))?;
        let end = Instant::now() + within;
        let mut buffer = [0; 4096];
        while Instant::now() < end {
            if let Ok(length) = self.notifications.recv(&mut buffer) {
                let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
                if text.lines().any(|told| told == line) {
                    return Ok(());
                }
            } else if let Some(status) = self.ended()? {
                bail!("the agent at {} ended with {status}; its log:\n{}", self.host.name(), self.log());
            }
        }
        bail!("the agent at {} didn't say {line} within {within:?}; its log:\n{}", self.host.name(), self.log());
    }

    fn drain_notifications(&self) -> anyhow::Result<()> {
        self.notifications.set_nonblocking(true)?;
        while self.notifications.recv(&mut [0; 4096]).is_ok() {}
        Ok(self.notifications.set_nonblocking(false)?)
    }

    /// From the next start on the agent sees these users and groups (passwd(5), group(5)) instead of this machine's,
    /// and others may use its files.
    pub fn with_accounts(&mut self, users: &str, groups: &str) -> anyhow::Result<()> {
        let directory = self.files.directory();
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))?;
        std::fs::write(directory.join("passwd"), users)?;
        std::fs::write(directory.join("group"), groups)?;
        self.accounts = true;
        Ok(())
    }

    /// The host that it runs at.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its configuration, certificates and directories.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(process) = &mut self.process else { bail!("the agent at {} isn't running", self.host.name()) };
        Ok(process.try_wait()?)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().with_context(|| format!("the agent at {} isn't running", self.host.name()))?;
        kill(Pid::from_raw(i32::try_from(pid)?), signal).with_context(|| format!("can't send {signal}"))
    }

    /// Kills it (SIGKILL) and waits until it's gone.
    pub fn kill9(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait_end(END).map(drop)
    }

    /// Stops it in order (SIGTERM) and waits for its end.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait_end(END)
    }

    /// Waits for its end.
    pub fn wait_end(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let Some(process) = &mut self.process else { bail!("the agent at {} isn't running", self.host.name()) };
        let mut ended = None;
        if !eventually(within, || {
            ended = process.try_wait().ok().flatten();
            ended.is_some()
        }) {
            bail!("the agent at {} doesn't end; its log:\n{}", self.host.name(), self.log());
        }
        self.process = None;
        ended.context("no exit status")
    }

    /// Freezes it (SIGSTOP), and waits until it stands still: on a busy machine its threads run on for a while.
    pub fn sigstop(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)?;
        let tasks = format!("/proc/{}/task", self.pid().context("it runs")?);
        // proc_pid_stat(5): the state follows the name, which is in brackets.
        let stands = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
        let all = || {
            let mut tasks = std::fs::read_dir(&tasks).into_iter().flatten().flatten();
            tasks.all(|task| std::fs::read_to_string(task.path().join("stat")).is_ok_and(stands))
        };
        ensure!(eventually(END, all), "the agent at {} doesn't stand still", self.host.name());
        Ok(())
    }

    /// Ends [`Agent::sigstop`].
    pub fn sigcont(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Stops it, if it runs, and starts it again with the same files.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            self.stop()?;
        }
        self.launch()?;
        self.wait_ready(READY)
    }

    /// Changes the configuration file; takes effect by [`Agent::reload`] or [`Agent::restart`].
    pub fn configure(&mut self, change: impl FnOnce(&mut toml::Table)) -> anyhow::Result<()> {
        self.files.change(change)
    }

    /// Changes the configuration file, sends SIGHUP, and waits until the agent says that it is ready again.
    pub fn reload(&mut self, change: impl FnOnce(&mut toml::Table)) -> anyhow::Result<()> {
        self.configure(change)?;
        self.drain_notifications()?;
        self.signal(Signal::SIGHUP)?;
        self.wait_ready(READY)
    }

    /// What it has logged, since the first start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Where the log is.
    pub fn log_path(&self) -> PathBuf {
        self.files.directory().join("agent.log")
    }

    /// Waits until the log has this text.
    pub fn wait_log(&self, text: &str, within: Duration) -> anyhow::Result<()> {
        if !eventually(within, || self.log().contains(text)) {
            bail!("the agent at {} doesn't log {text:?}; its log:\n{}", self.host.name(), self.log());
        }
        Ok(())
    }

    /// Doesn't print the log at the end, unless by a panic: for programs that aren't tests.
    pub fn quiet(&mut self) {
        self.quiet = true;
    }

    /// Runs the user's command `cheops` at the host, against this agent.
    pub fn cheops(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let output = self.cheops_command()?.args(arguments).stdin(Stdio::null()).output();
        output.with_context(|| format!("can't run cheops {}", arguments.join(" ")))
    }

    /// As [`Agent::cheops`], for the test to start: `exec`, `tap`.
    pub fn cheops_command(&self) -> anyhow::Result<std::process::Command> {
        let mut command = self.host.command(agent_program()?.with_file_name("cheops"));
        command.env("CHEOPS_SOCKET", self.files.socket());
        Ok(command)
    }

    /// Asks the admin API: `admin("/v1/status")`.
    pub fn admin(&self, path: &str) -> anyhow::Result<Answer> {
        let socket = self.files.socket();
        self.host.curl(&["--unix-socket", &socket.to_string_lossy(), &format!("http://agent{path}")])
    }

    /// The value of a metric: the sum of the samples whose line begins with `begins`, such as
    /// `cheops_requests_total{site="Paris"`; nothing when there is none.
    pub fn metric(&self, begins: &str) -> anyhow::Result<Option<f64>> {
        let text = self.admin("/metrics")?.text();
        let values = text.lines().filter(|line| line.starts_with(begins)).filter_map(|line| {
            let (_, value) = line.rsplit_once(' ')?;
            value.parse::<f64>().ok()
        });
        Ok(values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value)))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let early = process.try_wait().ok().flatten();
            if let Some(status) = early.filter(|status| status.signal() != Some(9)) {
                eprintln!("lab: the agent at {} had ended with {status}", self.host.name());
            }
            _ = process.kill();
            _ = process.wait();
        }
        if !self.quiet || std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default();
            eprintln!("--- log of the agent at {} (its last lines)\n{}\n---", self.host.name(), shown.join("\n"));
        }
    }
}

/// The agent's program: `$CHEOPS_AGENT_BIN`, or as it was built with this test.
fn agent_program() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("CHEOPS_AGENT_BIN") {
        return Ok(PathBuf::from(path));
    }
    let path = super::program("cheops-agent")?;
    if let Some(newer) = newer_source(&path) {
        bail!("{} is older than {newer}; run: cargo xtask build", path.display());
    }
    Ok(path)
}

/// A source file that is newer than the program, by cargo's list of what it was built from.
fn newer_source(program: &Path) -> Option<String> {
    let modified = |path: &Path| path.metadata().ok()?.modified().ok();
    let built = modified(program)?;
    let list = std::fs::read_to_string(program.with_extension("d")).ok()?;
    let (_, sources) = list.split_once(": ")?;
    let mut sources = sources.split_whitespace();
    sources.find(|source| modified(Path::new(source)).is_some_and(|time| time > built)).map(str::to_owned)
}
