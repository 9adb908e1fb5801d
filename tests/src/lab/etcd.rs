//! A cluster of etcd, unmodified, with a member at each of some hosts.

mod member;
mod secrets;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use cheops_agent::metadata::key;
use tempfile::TempDir;
use toml::{Table, Value};

use super::agent::files::FEDERATION;
use super::eventually;
use super::host::Host;
pub use member::EtcdMember;
use secrets::{PASSWORD, Secrets};

/// How long a cluster may take to be ready.
const READY: Duration = Duration::from_secs(40);

/// Which etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Debian's: 3.4.
    Debian,
    /// Of today: 3.6, built by `cargo xtask setup`.
    Today,
}

/// What a cluster is to be.
#[derive(Clone, Debug)]
pub struct EtcdCluster {
    release: Release,
    heartbeat: Duration,
    election: Duration,
    tls: bool,
    users: bool,
    sites: Option<Vec<String>>,
}

impl EtcdCluster {
    /// Without TLS and users, with etcd's own timers, which suit round trips up to 100 ms.
    pub fn new(release: Release) -> Self {
        let (heartbeat, election) = (Duration::from_millis(100), Duration::from_millis(1000));
        Self { release, heartbeat, election, tls: false, users: false, sites: None }
    }

    /// Debian's 3.4.
    pub fn debian() -> Self {
        Self::new(Release::Debian)
    }

    /// A 3.6.
    pub fn today() -> Self {
        Self::new(Release::Today)
    }

    /// How often the leader tells that it lives, and how long followers wait for that.
    #[must_use]
    pub fn timers(mut self, heartbeat: Duration, election: Duration) -> Self {
        (self.heartbeat, self.election) = (heartbeat, election);
        self
    }

    /// Clients talk TLS and show a certificate.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Each site has a user, whose role lets it write what is its own and what is everybody's.
    #[must_use]
    pub fn users(mut self) -> Self {
        self.users = true;
        self
    }

    /// Members at these sites alone. For [`super::Builder::etcd`].
    #[must_use]
    pub fn at(mut self, sites: &[&str]) -> Self {
        self.sites = Some(sites.iter().map(|site| (*site).to_owned()).collect());
        self
    }

    /// Starts a member at each of these hosts, and waits until the cluster serves. All are members' sites and users.
    pub fn start(self, hosts: &[Host]) -> anyhow::Result<Etcd> {
        let directory = tempfile::Builder::new().prefix("cheops-lab-etcd-").tempdir()?;
        let at = |host: &&Host| self.sites.as_ref().is_none_or(|sites| sites.iter().any(|site| site == host.site()));
        let seats: Vec<Host> = hosts.iter().filter(at).cloned().collect();
        let secrets = Secrets::write(directory.path(), hosts)?;
        let initial: Vec<String> =
            seats.iter().map(|host| format!("{}={}", host.site(), member::peer_url(host))).collect();
        let initial = initial.join(",");
        let members = seats.iter().map(|host| EtcdMember::new(host, &self, directory.path(), &initial)).collect();
        let etcd = Etcd { members, plan: self, directory, secrets };
        etcd.members.iter().try_for_each(EtcdMember::start)?;
        etcd.wait_ready()?;
        if etcd.plan.users {
            etcd.make_users(hosts)?;
        }
        Ok(etcd)
    }
}

/// A cluster that runs. Its members are killed when dropped.
pub struct Etcd {
    members: Vec<EtcdMember>,
    plan: EtcdCluster,
    directory: TempDir,
    secrets: Secrets,
}

impl Etcd {
    /// The members, in the order of sites.
    pub fn members(&self) -> &[EtcdMember] {
        &self.members
    }

    /// A site's member.
    ///
    /// # Panics
    /// When the site has none: a test's mistake.
    #[track_caller]
    pub fn member(&self, site: &str) -> &EtcdMember {
        let found = self.members.iter().find(|member| member.site() == site);
        found.unwrap_or_else(|| panic!("{site} has no member of etcd"))
    }

    /// The site whose member leads, as the members that run say.
    pub fn leader(&self) -> Option<String> {
        let leads = |member: &&EtcdMember| member.metric("etcd_server_is_leader") == Some(1.0);
        self.members.iter().find(leads).map(|member| member.site().to_owned())
    }

    /// Waits until a member leads that isn't at `other`; its site.
    pub fn wait_leader(&self, other: Option<&str>) -> anyhow::Result<String> {
        let mut leader = None;
        eventually(READY, || {
            leader = self.leader().filter(|site| Some(site.as_str()) != other);
            leader.is_some()
        });
        leader.with_context(|| format!("no member leads:\n{}", self.logs()))
    }

    /// Waits until every member that runs serves.
    pub fn wait_ready(&self) -> anyhow::Result<()> {
        if !eventually(READY, || self.members.iter().filter(|member| member.runs()).all(EtcdMember::healthy)) {
            bail!("etcd isn't ready within {READY:?}:\n{}", self.logs());
        }
        Ok(())
    }

    /// Where clients ask, in the order of sites.
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(EtcdMember::client_url).collect()
    }

    /// `[metadata]` of a site's agent.
    pub fn section(&self, site: &str) -> Table {
        let mut section = Table::new();
        section.insert("backend".into(), "etcd".into());
        section.insert("endpoints".into(), Value::Array(self.endpoints().into_iter().map(Value::from).collect()));
        let file = |name: String| Value::from(self.directory.path().join(name).to_string_lossy().into_owned());
        if self.plan.tls {
            section.insert("ca".into(), file("ca.pem".into()));
            section.insert("cert".into(), file(format!("{site}.pem")));
            section.insert("key".into(), file(format!("{site}.key")));
        }
        if self.plan.users {
            section.insert("user".into(), site.into());
            section.insert("password-file".into(), file(format!("{site}.password")));
        }
        section
    }

    /// Runs `etcdctl` against the first member that serves, as root if there are users; what it prints.
    pub fn etcdctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let member = self.members.iter().find(|member| member.healthy()).context("no member of etcd serves")?;
        let output = self.etcdctl_at(member, arguments)?;
        if !output.status.success() {
            bail!("etcdctl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn etcdctl_at(&self, member: &EtcdMember, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = member.host().command("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--command-timeout", "20s", "--endpoints", &member.client_url()]);
        if self.plan.tls {
            let file = |name: &str| self.directory.path().join(name);
            command.arg("--cacert").arg(file("ca.pem")).arg("--cert").arg(file("root.pem"));
            command.arg("--key").arg(file("root.key"));
        }
        if self.plan.users {
            command.args(["--user", &format!("root:{PASSWORD}")]);
        }
        command.args(arguments).stdin(Stdio::null()).output().context("can't run etcdctl; run: cargo xtask setup")
    }

    /// Forgets all past revisions but the last.
    pub fn compact(&self) -> anyhow::Result<()> {
        let status = self.etcdctl(&["endpoint", "status", "--write-out", "json"])?;
        let status: serde_json::Value = serde_json::from_str(&status)?;
        let revision = status.pointer("/0/Status/header/revision").and_then(serde_json::Value::as_i64);
        let revision = revision.context("etcdctl tells no revision")?.to_string();
        self.etcdctl(&["compaction", "--physical", &revision]).map(drop)
    }

    /// Keeps all that is known in a file.
    pub fn snapshot(&self) -> anyhow::Result<PathBuf> {
        let path = self.directory.path().join("snapshot.db");
        self.etcdctl(&["snapshot", "save", &path.to_string_lossy()])?;
        Ok(path)
    }

    /// Ends all members and begins the cluster anew with what the snapshot has, or with nothing: the same members and
    /// the same token, so that the cluster's id is the same and its revisions go back.
    pub fn begin_anew(&self, snapshot: Option<&Path>) -> anyhow::Result<()> {
        for member in &self.members {
            member.kill()?;
            member.wipe()?;
            if let Some(snapshot) = snapshot {
                member.restore(snapshot)?;
            }
        }
        self.members.iter().try_for_each(EtcdMember::start)?;
        self.wait_ready()?;
        if self.plan.users && snapshot.is_none() {
            let hosts: Vec<Host> = self.members.iter().map(|member| member.host().clone()).collect();
            self.make_users(&hosts)?;
        }
        Ok(())
    }

    /// What the members logged.
    pub fn logs(&self) -> String {
        self.members.iter().map(|member| format!("--- etcd at {}\n{}\n", member.site(), member.log())).collect()
    }

    /// A user for each site: it reads the federation's records, and writes its own and those that are everybody's.
    fn make_users(&self, hosts: &[Host]) -> anyhow::Result<()> {
        let federation = key::prefix(FEDERATION);
        let member = self.members.first().context("the cluster has no member")?;
        let mut script = String::from("set -e\ne() { etcdctl \"$@\" >/dev/null; }\n");
        script += &format!("e user add root:{PASSWORD}\ne user grant-role root root\n");
        for site in hosts.iter().map(Host::site) {
            let grants = ["tokens/", "revoked/", "resources/", "names/", "primes/", "federation"].map(str::to_owned);
            let own = [format!("sites/{site}/"), format!("liveness/{site}/")];
            script += &format!("e role add {site}\ne user add {site}:{}\n", self.secrets.password(site));
            script += &format!("e user grant-role {site} {site}\n");
            script += &format!("e role grant-permission {site} read --prefix {federation}\n");
            for prefix in grants.iter().chain(&own) {
                script += &format!("e role grant-permission {site} readwrite --prefix {federation}{prefix}\n");
            }
        }
        script += "e auth enable\n";
        let mut command = member.host().command("sh");
        command.env("ETCDCTL_API", "3").env("ETCDCTL_ENDPOINTS", member.client_url());
        if self.plan.tls {
            let file = |name: &str| self.directory.path().join(name);
            command.env("ETCDCTL_CACERT", file("ca.pem")).env("ETCDCTL_CERT", file("root.pem"));
            command.env("ETCDCTL_KEY", file("root.key"));
        }
        let output = command.args(["-c", &script]).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            bail!("can't make etcd's users: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}
