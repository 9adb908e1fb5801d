//! The smallest agent: a process inside a host that runs the kernel programs and passes taken connections on to where
//! they were going. For tests of the kernel programs alone; it reads orders from standard input and answers each in one
//! line of JSON.

mod lent;
mod own;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use cheops_agent::kernel::Sizes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::Host;
use lent::Lent;
pub use own::serve;

/// How a taker is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub run_dir: PathBuf,
    pub cgroup: PathBuf,
    /// Sizes of the maps: guarded, pending, sessions.
    pub sizes: (u32, u32, u32),
    /// What an earlier one left.
    pub left: Lent,
}

/// One guarded address.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Guarding {
    pub address: SocketAddr,
    pub own: bool,
    pub refuse: bool,
}

/// A connection that the programs took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub orig: SocketAddr,
    pub client: SocketAddr,
    pub session: Option<u16>,
}

#[derive(Serialize, Deserialize)]
enum Order {
    Guard(Vec<Guarding>),
    Counters,
    Probe,
    /// Milliseconds.
    Hold(u64),
    Session(u16, u64),
    Forget(u16),
    Facts,
    Taken,
    Refused,
    ToKeep,
    DumpMaps,
    Detach,
    Preflight,
    Number(SocketAddr),
    /// Connects with the agent's mark, announcing the client, and says how that went.
    Dial {
        to: SocketAddr,
        client: Option<SocketAddr>,
    },
}

/// The test's end of a taker. Killed when dropped.
pub struct Taker {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    run_dir: tempfile::TempDir,
}

impl Taker {
    /// Starts one that catches the host's cgroup.
    pub fn start(host: &Host, program: &str) -> anyhow::Result<Self> {
        Self::start_sized(host, program, Sizes::default())
    }

    /// Starts one with maps of these sizes.
    pub fn start_sized(host: &Host, program: &str, sizes: Sizes) -> anyhow::Result<Self> {
        Self::start_in(host, program, sizes, tempfile::tempdir()?)
    }

    /// Starts one on an earlier one's run directory.
    pub fn start_in(host: &Host, program: &str, sizes: Sizes, run_dir: tempfile::TempDir) -> anyhow::Result<Self> {
        Self::launch(host.command(program), host.cgroup(), sizes, run_dir, &[])
    }

    /// Starts one with what an earlier one left, on its run directory.
    pub fn start_left(
        host: &Host,
        program: &str,
        left: &[(String, OwnedFd)],
        run_dir: tempfile::TempDir,
    ) -> anyhow::Result<Self> {
        Self::launch(host.command(program), host.cgroup(), Sizes::default(), run_dir, left)
    }

    /// Starts one that catches another cgroup than its host's.
    pub fn start_at(host: &Host, program: &str, cgroup: &Path) -> anyhow::Result<Self> {
        Self::launch(host.command(program), cgroup, Sizes::default(), tempfile::tempdir()?, &[])
    }

    /// Starts one with no other capabilities than these, such as `+bpf,+net_admin`.
    pub fn start_with(host: &Host, program: &str, capabilities: &str) -> anyhow::Result<Self> {
        let mut command = host.command("setpriv");
        let only = format!("-all,{capabilities}");
        command.args(["--bounding-set", &only, "--inh-caps", &only, "--no-new-privs", program]);
        Self::launch(command, host.cgroup(), Sizes::default(), tempfile::tempdir()?, &[])
    }

    /// Starts one that is passed its IPv4 listener, as systemd passes what it kept.
    pub fn start_passed(host: &Host, program: &str, listener: TcpListener) -> anyhow::Result<Self> {
        const PASS: &str =
            r#"exec 3<&2 2>/dev/null; export LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=listener-v4; exec "$0" "$1""#;
        let mut command = host.command("sh");
        command.args(["-c", PASS, program]).stderr(OwnedFd::from(listener));
        Self::launch(command, host.cgroup(), Sizes::default(), tempfile::tempdir()?, &[])
    }

    fn launch(
        mut command: Command,
        cgroup: &Path,
        sizes: Sizes,
        run_dir: tempfile::TempDir,
        left: &[(String, OwnedFd)],
    ) -> anyhow::Result<Self> {
        let plan = Plan {
            run_dir: run_dir.path().to_owned(),
            cgroup: cgroup.to_owned(),
            sizes: (sizes.guarded, sizes.pending, sizes.sessions),
            left: Lent::new(left),
        };
        let mut process = command
            .arg(serde_json::to_string(&plan)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("can't start the taker")?;
        let (orders, answers) = process.stdin.take().zip(process.stdout.take()).context("no pipes")?;
        let mut taker = Self { process, orders, answers: BufReader::new(answers), run_dir };
        taker.answer::<()>().context("the taker did not start")?;
        Ok(taker)
    }

    /// Makes this the guarded set.
    pub fn guard(&mut self, guards: &[Guarding]) -> anyhow::Result<()> {
        self.ask(&Order::Guard(guards.to_vec()))
    }

    /// Guards these as the own site's, passed when nobody takes.
    pub fn guard_own(&mut self, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        let own = |address: &SocketAddr| Guarding { address: *address, own: true, refuse: false };
        self.guard(&addresses.iter().map(own).collect::<Vec<_>>())
    }

    /// All counters, as `hook/what`.
    pub fn counters(&mut self) -> anyhow::Result<BTreeMap<String, u64>> {
        self.ask(&Order::Counters)
    }

    /// One counter.
    pub fn count(&mut self, name: &str) -> anyhow::Result<u64> {
        self.counters()?.get(name).copied().with_context(|| format!("there is no counter {name}"))
    }

    /// The self-probe; how many microseconds it took.
    pub fn probe(&mut self) -> anyhow::Result<u64> {
        self.ask(&Order::Probe)
    }

    /// Holds the lease and renews it no more.
    pub fn hold(&mut self, time: Duration) -> anyhow::Result<()> {
        self.ask(&Order::Hold(time.as_millis() as u64))
    }

    pub fn session(&mut self, session: u16, cgroup: u64) -> anyhow::Result<()> {
        self.ask(&Order::Session(session, cgroup))
    }

    pub fn forget(&mut self, session: u16) -> anyhow::Result<()> {
        self.ask(&Order::Forget(session))
    }

    pub fn facts(&mut self) -> anyhow::Result<Value> {
        self.ask(&Order::Facts)
    }

    /// What was taken until now, in the order of acceptance.
    pub fn taken(&mut self) -> anyhow::Result<Vec<Seen>> {
        self.ask(&Order::Taken)
    }

    /// Why accepted connections were refused.
    pub fn refused(&mut self) -> anyhow::Result<Vec<String>> {
        self.ask(&Order::Refused)
    }

    /// What outlives it, by the names of a store.
    pub fn to_keep(&mut self) -> anyhow::Result<Vec<(String, OwnedFd)>> {
        self.ask::<Lent>(&Order::ToKeep)?.fetch()
    }

    pub fn dump_maps(&mut self) -> anyhow::Result<Value> {
        self.ask(&Order::DumpMaps)
    }

    /// Takes its programs away, as an outsider would.
    pub fn detach(&mut self) -> anyhow::Result<Vec<String>> {
        self.ask(&Order::Detach)
    }

    pub fn preflight(&mut self) -> anyhow::Result<Value> {
        self.ask(&Order::Preflight)
    }

    /// An address's number.
    pub fn number(&mut self, address: SocketAddr) -> anyhow::Result<Option<u32>> {
        self.ask(&Order::Number(address))
    }

    /// Connects as the agent does.
    pub fn dial(&mut self, to: SocketAddr, client: Option<SocketAddr>) -> anyhow::Result<()> {
        self.ask(&Order::Dial { to, client })
    }

    /// Its run directory.
    pub fn run_dir(&self) -> &Path {
        self.run_dir.path()
    }

    /// Process id of the taker.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills it as a crash would; its run directory stays for a next one.
    pub fn kill(mut self) -> anyhow::Result<tempfile::TempDir> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(std::mem::replace(&mut self.run_dir, tempfile::tempdir()?))
    }

    fn ask<T: DeserializeOwned>(&mut self, order: &Order) -> anyhow::Result<T> {
        writeln!(self.orders, "{}", serde_json::to_string(order)?)?;
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the taker is gone");
        }
        match serde_json::from_str::<Result<Value, String>>(&line)? {
            Ok(answer) => Ok(serde_json::from_value(answer)?),
            Err(why) => bail!(why),
        }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        // It may be gone already, as a test wanted.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
