//! The lab: sites on one machine, the network between them, and what is needed to test agents there.
//!
//! A [`World`] has sites; a site has hosts; a [`Host`] is a network namespace (`10.77.N.H`, `fd77:0:0:N::H`) with a
//! cgroup of its own, as if it were a machine: kernel programs can be loaded for it alone. Packets between hosts pass a relay
//! in the test's process, so that delay, jitter, loss, rate and cuts can be set per direction between two sites, while
//! connections are open: [`World::link`], [`World::one_way`], [`World::isolate`].
//!
//! Sockets that kernel programs shall see must be made in the host's cgroup: [`Host::connect`], [`Host::listen`],
//! [`Host::command`], [`Host::curl`] and the services do that; [`Host::within`] and [`Host::block_on`] only enter the namespace.
//!
//! Everything goes away when the world is dropped, also by a panic; what a killed test left, when the next world is made.
//! Root is needed. Programs of the workspace are found beside the test: `cargo xtask build` makes them.
//!
//! ```no_run
//! use std::time::Duration;
//! use cheops_tests::lab::{Service, World};
//!
//! # fn main() -> anyhow::Result<()> {
//! let world = World::new()?;
//! let (berlin, paris) = (world.site("Berlin")?, world.site("Paris")?);
//! world.link("Berlin", "Paris").round_trip(Duration::from_millis(20));
//! let app = Service::start(&paris, "app", &[paris.at(8080)])?;
//!
//! let mut client = berlin.connect(paris.at(8080))?;
//! let answer = client.exchange("GET /echo HTTP/1.1\r\nHost: app\r\n\r\n")?;
//! assert_eq!(answer.site().as_deref(), Some("Paris"));
//! assert_eq!(app.requests()[0].peer, client.local()?);
//!
//! world.one_way("Paris", "Berlin").cut();
//! client.send("GET /lost HTTP/1.1\r\nHost: app\r\n\r\n")?;
//! app.wait_for(2, Duration::from_secs(5))?;
//! # Ok(())
//! # }
//! ```

mod agent;
mod cleaning;
mod client;
mod curl;
#[doc(hidden)]
pub mod door;
mod etcd;
mod federation;
mod host;
pub mod load;
pub mod openstack;
mod relay;
pub mod script;
mod service;
mod system;
#[doc(hidden)]
pub mod taker;
pub mod ways;
mod world;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::time::{ClockId, clock_gettime};

pub use agent::{Agent, Files, Settings};
pub use client::{Answer, Client, End};
pub use etcd::{Etcd, EtcdCluster, EtcdMember, Release};
pub use federation::{Builder, Federation, Member, Offered};
pub use host::{CONNECT, Host};
pub use relay::{Carried, Weather};
pub use service::{Recorded, Scripted, Service, TcpService, Then};
pub use system::{AGENT, AGENT_LOG, Boot, System};
pub use world::{Link, World};

/// Waits until the condition holds; whether it did within `time`. Looks every few milliseconds.
pub fn eventually(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + time;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The ordinary files below a directory: where a test looks for what must be nowhere.
pub fn files_below(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let kind = std::fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            found.extend(files_below(&path)?);
        } else if kind.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// How long this thread has worked: other programs on the machine don't count.
pub fn busy() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock").into()
}

/// A line that a suite's reader sees, whether it went well or not: the harness holds back what `println!` prints.
pub fn tell(suite: &str, line: &str) {
    _ = writeln!(std::io::stderr(), "  {suite}: {line}");
}

/// Runs `ip`, with `input` as standard input.
fn ip(arguments: &[&str], input: &str) -> anyhow::Result<()> {
    let mut child = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("can't run ip; install the Debian package iproute2")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("ip {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// A program of this workspace, built beside the running one.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    let found = here.ancestors().skip(1).take(2).map(|directory| directory.join(name)).find(|path| path.exists());
    found.with_context(|| format!("there is no {name} beside {}; run: cargo xtask build", here.display()))
}

/// The mutex's content, whatever happened to another thread that had it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn lock_read<T>(content: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    content.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn lock_write<T>(content: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    content.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}
