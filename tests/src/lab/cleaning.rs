//! What a world leaves on this host, and taking it away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use super::{eventually, ip};

/// Begins the name of everything that a world makes; the process id follows.
pub(super) const PREFIX: &str = "cheops-lab-";

const NAMESPACES: &str = "/run/netns";

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// # Errors
/// When this isn't root.
pub(super) fn need_root() -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "the lab makes network namespaces and cgroups and loads kernel programs: run it as root, such as: sudo -E cargo xtask test"
        );
    }
    Ok(())
}

/// Where cgroup2 is mounted.
pub(super) fn cgroups() -> anyhow::Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("can't read /proc/self/mounts")?;
    let mount = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let path = words.next()?;
        (words.next()? == "cgroup2").then(|| PathBuf::from(path.replace("\\040", " ")))
    });
    mount.context("the lab needs cgroup2; mount it: mkdir -p /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup")
}

/// Takes away what tests left that are dead.
pub(super) fn sweep(cgroups: &Path) {
    let stale = |name: &String| {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()).map(str::to_owned);
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    for name in names(cgroups).filter(stale) {
        kill(&cgroups.join(&name));
        remove_cgroup(&cgroups.join(&name));
    }
    for name in names(Path::new(NAMESPACES)).filter(stale) {
        remove_namespace(&name);
    }
}

fn names(directory: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// Kills every process in the cgroup and below, and waits until none is left.
pub(super) fn kill(cgroup: &Path) {
    if !eventually(PATIENCE, || !kill_all(cgroup)) {
        eprintln!("lab: processes {:?} in {} don't die", processes(cgroup), cgroup.display());
    }
}

/// Kills what is in the cgroup now; whether there was anything. A process that was just started may enter later.
fn kill_all(cgroup: &Path) -> bool {
    let processes = processes(cgroup);
    // Frozen or stopped processes are killed too. Kernels before 5.14 have no cgroup.kill.
    if !processes.is_empty() && std::fs::write(cgroup.join("cgroup.kill"), "1").is_err() {
        for pid in &processes {
            _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
    !processes.is_empty()
}

/// Process ids in the cgroup and below.
pub(super) fn processes(cgroup: &Path) -> BTreeSet<i32> {
    let own = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut all: BTreeSet<i32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    for child in children(cgroup) {
        all.extend(processes(&child));
    }
    all
}

fn children(cgroup: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}

/// Removes a cgroup and those below, and kills what still enters them meanwhile.
pub(super) fn remove_cgroup(cgroup: &Path) {
    for child in children(cgroup) {
        remove_cgroup(&child);
    }
    let gone = || {
        kill_all(cgroup);
        std::fs::remove_dir(cgroup).is_ok() || !cgroup.exists()
    };
    if !eventually(PATIENCE, gone) {
        eprintln!("lab: the cgroup {} can't be removed; in it are {:?}", cgroup.display(), processes(cgroup));
    }
}

/// Deletes the namespace and its way to other sites.
pub(super) fn remove_namespace(name: &str) {
    if !Path::new(NAMESPACES).join(name).exists() {
        return;
    }
    // The device first: a socket that a test still holds keeps the namespace, and must not keep the relay's thread.
    _ = ip(&["-n", name, "link", "delete", "wan0"], "");
    if let Err(error) = ip(&["netns", "delete", name], "") {
        eprintln!("lab: {error:#}");
    }
}
