//! A host: a network namespace and a cgroup, with a site's address.

use std::fs::File;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sched::CloneFlags;

use super::client::Client;
use super::door::Door;
use super::relay::Relay;
use super::{ip, program};

/// How long a connection may take to be made, unless the test says otherwise.
pub const CONNECT: Duration = Duration::from_secs(10);

/// Puts the process that becomes the program into the cgroup and the namespace.
const ENTER: &str = r#"echo $$ > "$1/cgroup.procs" && shift && exec nsenter --net="$0" -- "$@""#;

/// A host of a world. Clones are the same host; it is there as long as its world.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    site: String,
    name: String,
    namespace: String,
    cgroup: PathBuf,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    door: Option<Door>,
    relay: Weak<Relay>,
}

/// What a host is made from.
pub(super) struct Plan {
    pub site: String,
    pub name: String,
    pub namespace: String,
    pub cgroup: PathBuf,
    pub site_number: u8,
    pub host_number: u8,
    pub mtu: u16,
}

impl Host {
    /// Makes the namespace, the cgroup, the device and the door. What was made is taken down by the world, also when
    /// this fails half-way.
    pub(super) fn build(plan: &Plan, relay: &Arc<Relay>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&plan.cgroup)
            .with_context(|| format!("can't make the cgroup {}", plan.cgroup.display()))?;
        ip(&["netns", "add", &plan.namespace], "")?;
        let mut inner = Inner {
            site: plan.site.clone(),
            name: plan.name.clone(),
            namespace: plan.namespace.clone(),
            cgroup: plan.cgroup.clone(),
            ipv4: Ipv4Addr::new(10, 77, plan.site_number, plan.host_number),
            ipv6: Ipv6Addr::new(0xfd77, 0, 0, plan.site_number.into(), 0, 0, 0, plan.host_number.into()),
            door: None,
            relay: Arc::downgrade(relay),
        };
        let device = inner.within(wan_device)??;
        let setup = format!(
            "link set lo up\nlink set wan0 mtu {} txqueuelen 10000 up\naddr add {}/16 dev wan0\naddr add {}/16 dev wan0 nodad\n",
            plan.mtu, inner.ipv4, inner.ipv6
        );
        ip(&["-n", &plan.namespace, "-batch", "-"], &setup)?;
        relay.plug(plan.site_number, device, &[inner.ipv4.into(), inner.ipv6.into()]);
        let door = program("cheops-lab-door")?;
        inner.door = Some(Door::open(&mut inner.command(&door))?);
        Ok(Self(Arc::new(inner)))
    }

    /// The site's name.
    pub fn site(&self) -> &str {
        &self.0.site
    }

    /// The host's name: the site's in lower case for the site's first host.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// `10.77.N.H`: the Nth site's Hth host.
    pub fn ipv4(&self) -> Ipv4Addr {
        self.0.ipv4
    }

    /// `fd77:0:0:N::H`.
    pub fn ipv6(&self) -> Ipv6Addr {
        self.0.ipv6
    }

    /// A port at the host's IPv4 address.
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.0.ipv4, port).into()
    }

    /// The namespace, as `ip netns` knows it.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// The host's cgroup in the cgroup2 hierarchy.
    pub fn cgroup(&self) -> &Path {
        &self.0.cgroup
    }

    /// Gives the host one more address, which every host reaches.
    pub fn add_address(&self, address: IpAddr) -> anyhow::Result<()> {
        let length = if address.is_ipv4() { 32 } else { 128 };
        let nodad = if address.is_ipv4() { "" } else { " nodad" };
        self.ip(&format!("addr add {address}/{length} dev wan0{nodad}\n"))?;
        let relay = self.0.relay.upgrade().context("the world is gone")?;
        relay.route(address, self.0.ipv4.into());
        Ok(())
    }

    /// Runs `ip` commands at the host, one a line.
    pub fn ip(&self, commands: &str) -> anyhow::Result<()> {
        ip(&["-n", &self.0.namespace, "-batch", "-"], commands)
    }

    /// Runs `work` on a thread inside the namespace (not the cgroup: see [`Host::connect`]).
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        self.0.within(work)
    }

    /// Drives a future on a thread inside the namespace (not the cgroup).
    pub fn block_on<F: Future + Send>(&self, future: F) -> anyhow::Result<F::Output>
    where
        F::Output: Send,
    {
        self.within(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(future))
        })?
    }

    /// Puts the calling thread into the namespace for good.
    pub fn enter(&self) -> anyhow::Result<()> {
        self.0.enter()
    }

    /// A command that runs `program` inside the namespace and the cgroup. Its process is killed with the world.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.0.command(program)
    }

    /// Runs a program to its end.
    pub fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Output> {
        self.command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("can't run {program} at {}", self.0.name))
    }

    /// A connection from this host, made by a process in its namespace and cgroup: what kernel programs take.
    pub fn connect(&self, to: SocketAddr) -> anyhow::Result<Client> {
        let stream = self.connect_from(None, to, CONNECT).with_context(|| format!("{} to {to}", self.0.name))?;
        Client::new(stream)
    }

    /// As [`Host::connect`], from this address, with the kernel's own error.
    pub fn connect_from(
        &self,
        from: Option<SocketAddr>,
        to: SocketAddr,
        within: Duration,
    ) -> std::io::Result<TcpStream> {
        self.0.door()?.connect(from, to, within)
    }

    /// A listener at this host, made by a process in its namespace and cgroup.
    pub fn listen(&self, at: SocketAddr) -> anyhow::Result<TcpListener> {
        self.0.door()?.listen(at).with_context(|| format!("can't listen at {at} of {}", self.0.name))
    }
}

impl Inner {
    fn door(&self) -> std::io::Result<&Door> {
        self.door.as_ref().ok_or_else(|| std::io::Error::other("the host has no door"))
    }

    fn enter(&self) -> anyhow::Result<()> {
        let path = format!("/run/netns/{}", self.namespace);
        let namespace = File::open(&path).with_context(|| format!("can't open {path}"))?;
        nix::sched::setns(namespace, CloneFlags::CLONE_NEWNET).with_context(|| format!("can't enter {path}"))
    }

    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        let done = std::thread::scope(|scope| scope.spawn(|| self.enter().map(|()| work())).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", ENTER]).arg(format!("/run/netns/{}", self.namespace)).arg(&self.cgroup).arg(program);
        command
    }
}

fn wan_device() -> anyhow::Result<tun::Device> {
    if !Path::new("/dev/net/tun").exists() {
        bail!("the lab needs /dev/net/tun; load the kernel's tun module: modprobe tun");
    }
    let mut configuration = tun::Configuration::default();
    configuration.tun_name("wan0");
    tun::create(&configuration).context("can't make the TUN device that is the host's way to other sites")
}
