//! The smallest agent: a process inside a host that runs the kernel programs and passes taken connections on to where
//! they were going. For tests of the kernel programs alone; it reads orders from standard input and answers each in one
//! line of JSON.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use cheops_agent::accept::{Listeners, OriginError, Origins, SessionId};
use cheops_agent::config;
use cheops_agent::kernel::{Interceptor, Sizes};
use cheops_agent::metadata::Guard;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use super::{Host, lock};

/// How a taker is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub run_dir: PathBuf,
    pub cgroup: PathBuf,
    /// Sizes of the maps: guarded, pending, sessions.
    pub sizes: (u32, u32, u32),
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
        Self::launch(host.command(program), host.cgroup(), sizes, run_dir)
    }

    /// Starts one that catches another cgroup than its host's.
    pub fn start_at(host: &Host, program: &str, cgroup: &Path) -> anyhow::Result<Self> {
        Self::launch(host.command(program), cgroup, Sizes::default(), tempfile::tempdir()?)
    }

    /// Starts one with no other capabilities than these, such as `+bpf,+net_admin`.
    pub fn start_with(host: &Host, program: &str, capabilities: &str) -> anyhow::Result<Self> {
        let mut command = host.command("setpriv");
        let only = format!("-all,{capabilities}");
        command.args(["--bounding-set", &only, "--inh-caps", &only, "--no-new-privs", program]);
        Self::launch(command, host.cgroup(), Sizes::default(), tempfile::tempdir()?)
    }

    /// Starts one that is passed its IPv4 listener, as systemd passes sockets.
    pub fn start_passed(host: &Host, program: &str, listener: TcpListener) -> anyhow::Result<Self> {
        const PASS: &str = r#"exec 3<&2 2>/dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$1""#;
        let mut command = host.command("sh");
        command.args(["-c", PASS, program]).stderr(OwnedFd::from(listener));
        Self::launch(command, host.cgroup(), Sizes::default(), tempfile::tempdir()?)
    }

    fn launch(mut command: Command, cgroup: &Path, sizes: Sizes, run_dir: tempfile::TempDir) -> anyhow::Result<Self> {
        let plan = Plan {
            run_dir: run_dir.path().to_owned(),
            cgroup: cgroup.to_owned(),
            sizes: (sizes.guarded, sizes.pending, sizes.sessions),
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

#[derive(Default)]
struct Record {
    taken: Mutex<Vec<Seen>>,
    refused: Mutex<Vec<String>>,
}

/// The taker's own side.
pub fn serve() -> anyhow::Result<()> {
    let plan: Plan = serde_json::from_str(&std::env::args().nth(1).context("no plan")?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (interceptor, record, config) = match begin(&plan) {
            Ok(begun) => begun,
            Err(error) => {
                say(&Err(format!("{error:#}")));
                return Err(error);
            }
        };
        say(&Ok(Value::Null));
        // Orders are read where blocking does no harm; the runtime goes on meanwhile.
        let handle = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            for line in std::io::stdin().lines() {
                let order = serde_json::from_str(&line?)?;
                let answer = handle.block_on(obey(order, &interceptor, &record, &config));
                say(&answer.map_err(|error| format!("{error:#}")));
            }
            anyhow::Ok(())
        })
        .await?
    })
}

fn begin(plan: &Plan) -> anyhow::Result<(Arc<Interceptor>, Arc<Record>, config::Config)> {
    let config = configuration(&plan.run_dir, &plan.cgroup)?;
    let (guarded, pending, sessions) = plan.sizes;
    let listeners = Listeners::open()?;
    let interceptor = Interceptor::start_with(&config, &listeners, Sizes { guarded, pending, sessions })?;
    let record = Arc::new(Record::default());
    tokio::spawn(accept(listeners, interceptor.clone(), record.clone()));
    Ok((interceptor, record, config))
}

fn configuration(run_dir: &Path, cgroup: &Path) -> anyhow::Result<config::Config> {
    let text = format!(
        "site = \"S\"\nrun-dir = {run_dir:?}\n[intercept]\ncgroup = {cgroup:?}\n[admin]\nsocket = \"{}/admin.sock\"\n",
        run_dir.display()
    );
    Ok(config::from_text(&text).map_err(|error| anyhow::anyhow!("{error}"))?.config)
}

async fn accept(listeners: Listeners, interceptor: Arc<Interceptor>, record: Arc<Record>) {
    loop {
        let Ok((stream, from)) = listeners.accept().await else { continue };
        match interceptor.taken(&stream) {
            Ok(taken) => {
                let session = taken.session.map(|session| session.0);
                let seen = Seen { orig: taken.orig.get(), client: taken.client.get(), session };
                lock(&record.taken).push(seen);
                tokio::spawn(relay(stream, seen, interceptor.clone(), record.clone()));
            }
            Err(OriginError::Probe) => {}
            Err(error) => {
                lock(&record.refused).push(format!("{from}: {error}"));
                reset(&stream);
            }
        }
    }
}

async fn relay(mut client: TcpStream, seen: Seen, interceptor: Arc<Interceptor>, record: Arc<Record>) {
    match dial(&interceptor, seen.orig, Some(seen.client)).await {
        Ok(mut service) => {
            // Either end may go at any time; a test looks at what its own ends saw.
            tokio::io::copy_bidirectional(&mut client, &mut service).await.ok();
        }
        Err(error) => {
            lock(&record.refused).push(format!("{}: {error}", seen.client));
            reset(&client);
        }
    }
}

fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok();
}

async fn dial(interceptor: &Interceptor, to: SocketAddr, client: Option<SocketAddr>) -> std::io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    SockRef::from(&socket).set_mark(interceptor.mark())?;
    if let Some(client) = client {
        interceptor.announce(socket.as_fd(), cheops_agent::address::ClientAddr::new(client))?;
    }
    socket.connect(to).await
}

async fn obey(
    order: Order,
    interceptor: &Interceptor,
    record: &Record,
    config: &config::Config,
) -> anyhow::Result<Value> {
    Ok(match order {
        Order::Guard(guards) => {
            let guard = |guarding: Guarding| Guard {
                address: guarding.address,
                own: guarding.own,
                refuse_when_down: guarding.refuse,
            };
            interceptor.guard(&guards.into_iter().map(guard).collect::<Vec<_>>())?;
            Value::Null
        }
        Order::Counters => {
            let counters = interceptor.counters()?;
            json!(counters.into_iter().map(|(hook, what, n)| (format!("{hook}/{what}"), n)).collect::<BTreeMap<_, _>>())
        }
        Order::Probe => json!(interceptor.probe().await?.as_micros() as u64),
        Order::Hold(time) => json!(interceptor.hold(Duration::from_millis(time))?),
        Order::Session(session, cgroup) => json!(interceptor.add_session(SessionId(session), cgroup)?),
        Order::Forget(session) => json!(interceptor.remove_session(SessionId(session))?),
        Order::Facts => interceptor.facts(),
        Order::Taken => json!(*lock(&record.taken)),
        Order::Refused => json!(*lock(&record.refused)),
        Order::DumpMaps => cheops_agent::kernel::dump_maps(config)?,
        Order::Detach => json!(cheops_agent::kernel::detach(config)?),
        Order::Preflight => json!(cheops_agent::kernel::preflight(config)),
        Order::Number(address) => json!(interceptor.endpoint(address).map(|number| number.0)),
        Order::Dial { to, client } => json!(dial(interceptor, to, client).await.map(drop)?),
    })
}

fn say(answer: &Result<Value, String>) {
    // A test that is gone reads nothing; the process ends with its standard input.
    let line = serde_json::to_string(answer).unwrap_or_default();
    writeln!(std::io::stdout(), "{line}").ok();
}
