//! Two hosts, a service at the first, and a taker there.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use cheops_tests::lab::taker::{Guarding, Taker};
use cheops_tests::lab::{CONNECT, Client, Host, Service, World};
use serde::Deserialize;

pub const TAKER: &str = env!("CARGO_BIN_EXE_cheops-lab-taker");
pub const URING: &str = env!("CARGO_BIN_EXE_cheops-lab-uring");
const CALLER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/caller.py");

pub const SOON: Duration = Duration::from_secs(40);

/// The service's port.
pub const PORT: u16 = 8080;

/// Berlin has a service and a taker that guards it; Paris is another host.
pub struct Two {
    pub berlin: Host,
    pub paris: Host,
    pub v4: SocketAddr,
    pub v6: SocketAddr,
    pub app: Service,
    pub taker: Taker,
    // Last: everything above lives in it.
    pub world: World,
}

impl Two {
    pub fn new() -> anyhow::Result<Self> {
        let world = World::new()?;
        let (berlin, paris) = (world.site("Berlin")?, world.site("Paris")?);
        let (v4, v6) = (berlin.at(PORT), at6(&berlin, PORT));
        let app = Service::start(&berlin, "app", &[v4, v6])?;
        let mut taker = Taker::start(&berlin, TAKER)?;
        taker.guard_own(&[v4, v6])?;
        Ok(Self { berlin, paris, v4, v6, app, taker, world })
    }

    /// Both addresses, refused when nobody takes.
    pub fn guard_refusing(&mut self) -> anyhow::Result<()> {
        let refusing = |address| Guarding { address, own: true, refuse: true };
        self.taker.guard(&[refusing(self.v4), refusing(self.v6)])
    }

    /// Asserts that a client at `host` reaches the service, taken or not, and that both ends see each other.
    pub fn reaches(&mut self, host: &Host, to: SocketAddr, taken: bool) -> anyhow::Result<()> {
        let before = self.taker.taken()?.len();
        let client = exchange(host, to)?;
        let requests = self.app.take_requests();
        let peer = requests.last().context("the service saw no request")?.peer;
        assert_eq!(peer, client, "the service sees the client");
        let seen = self.taker.taken()?;
        assert_eq!(seen.len() - before, usize::from(taken), "taken: {seen:?}");
        if taken {
            let last = seen.last().context("nothing was taken")?;
            assert_eq!((last.orig, last.client, last.session), (to, client, None));
        }
        Ok(())
    }
}

/// One request from a host; the client sees the address that it named. Its own address.
pub fn exchange(host: &Host, to: SocketAddr) -> anyhow::Result<SocketAddr> {
    let mut client = host.connect(to)?;
    assert_eq!(client.stream().peer_addr()?, to, "the client sees the service");
    let answer = client.exchange(get("/echo"))?;
    assert_eq!(answer.status, 200);
    client.local()
}

/// Asserts that a connection is accepted and ended at once, without a byte.
pub fn is_ended(host: &Host, to: SocketAddr) -> anyhow::Result<()> {
    match host.connect_from(None, to, CONNECT) {
        // The reset may come before the client looks at its socket for the first time.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        connected => Client::new(connected?)?.ends().map(drop),
    }
}

pub fn at6(host: &Host, port: u16) -> SocketAddr {
    (host.ipv6(), port).into()
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n")
}

/// What the Python client saw.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Called {
    pub peer: Option<(String, u16)>,
    pub local: Option<(String, u16)>,
    pub status: Option<String>,
    pub errno: Option<String>,
}

/// Runs the Python client at a host.
pub fn call(host: &Host, how: &str, to: SocketAddr) -> anyhow::Result<Called> {
    call_by(host.command("python3"), how, &to.ip().to_string(), to.port(), &[])
}

/// Runs the Python client by a command that was prepared for it.
pub fn call_by(mut python: Command, how: &str, address: &str, port: u16, more: &[&str]) -> anyhow::Result<Called> {
    let output = python.args([CALLER, how, address, &port.to_string()]).args(more).output()?;
    if !output.status.success() {
        bail!("{how}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A command that runs in the host's namespace and in that cgroup.
pub fn in_cgroup(host: &Host, cgroup: &Path, program: &str) -> Command {
    let mut command = Command::new("sh");
    let enter = r#"echo $$ > "$1/cgroup.procs" && shift && exec nsenter --net="$0" -- "$@""#;
    command.args(["-c", enter]).arg(format!("/run/netns/{}", host.namespace())).arg(cgroup).arg(program);
    command
}

/// What the counters gained.
pub fn gained(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let gain = |(name, count): (&String, &u64)| {
        let gain = count - before.get(name).copied().unwrap_or_default();
        (gain > 0).then(|| (name.clone(), gain))
    };
    after.iter().filter_map(gain).collect()
}
