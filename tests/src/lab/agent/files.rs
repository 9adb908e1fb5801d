//! An agent's files: configuration, certificates, directories.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cheops_agent::peer::trust::{Authority, Issued};
use tempfile::TempDir;
use toml::{Table, Value};

use crate::lab::Host;

/// Where agents listen for peers.
pub(in crate::lab) const PEER_PORT: u16 = 7117;

/// What an agent is told.
pub struct Settings<'a> {
    /// The authority's certificate (PEM) and the host's own; without them the agent has no `[peer]`.
    pub peer: Option<(&'a Authority, Issued)>,
    /// The other sites: name, and where their agents listen.
    pub sites: Vec<(String, Vec<String>)>,
    /// The tables of `[[services]]`.
    pub services: Vec<Table>,
}

/// A directory with all that an agent reads and writes; removed when dropped.
pub struct Files {
    directory: TempDir,
    table: Table,
}

impl Files {
    /// Writes the files for an agent at `host`.
    pub fn write(host: &Host, settings: Settings<'_>) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("cheops-lab-agent-").tempdir()?;
        let path = |name: &str| Value::from(directory.path().join(name).to_string_lossy().into_owned());
        for name in ["state", "run", "profiles"] {
            std::fs::create_dir(directory.path().join(name))?;
        }
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cheops-agent/profiles");
        let mut table = Table::new();
        table.insert("site".into(), host.site().into());
        table.insert("host".into(), host.name().into());
        table.insert("federation".into(), FEDERATION.into());
        if let Some(threads) = threads()? {
            table.insert("threads".into(), threads.into());
        }
        table.insert("state-dir".into(), path("state"));
        table.insert("run-dir".into(), path("run"));
        let profiles = [shipped.to_string_lossy().into_owned().into(), path("profiles")];
        table.insert("profile-dirs".into(), Value::Array(profiles.into()));
        let cgroup = host.cgroup().to_string_lossy().into_owned();
        table.insert("intercept".into(), section([("mode", "ebpf".into()), ("cgroup", cgroup.into())]));
        table.insert("admin".into(), section([("socket", path("admin.sock"))]));
        table.insert("log".into(), section([("level", "info,cheops_agent=debug".into())]));
        if let Some((authority, issued)) = settings.peer {
            let listen = host.at(PEER_PORT).to_string();
            write(directory.path(), "ca.pem", authority.certificate(), 0o644)?;
            write(directory.path(), "cert.pem", &issued.certificate, 0o644)?;
            write(directory.path(), "key.pem", &issued.key, 0o600)?;
            let peer = [
                ("listen", listen.into()),
                ("ca", path("ca.pem")),
                ("cert", path("cert.pem")),
                ("key", path("key.pem")),
            ];
            table.insert("peer".into(), section(peer));
        }
        let sites = settings.sites.into_iter().map(|(name, peers)| {
            let peers = peers.into_iter().map(Value::from).collect();
            section([("name", name.into()), ("peer", Value::Array(peers))])
        });
        table.insert("sites".into(), Value::Array(sites.collect()));
        table.insert("services".into(), Value::Array(settings.services.into_iter().map(Value::Table).collect()));
        let files = Self { directory, table };
        files.save()?;
        Ok(files)
    }

    /// The directory: `agent.toml`, `agent.log`, `ca.pem`, `cert.pem`, `key.pem`, `admin.sock`, `state`, `run`, `profiles`.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory().join("agent.toml")
    }

    /// The admin socket.
    pub fn socket(&self) -> PathBuf {
        self.directory().join("admin.sock")
    }

    /// Adds or overrides a profile.
    pub fn profile(&self, name: &str, text: &str) -> anyhow::Result<()> {
        write(self.directory(), &format!("profiles/{name}.toml"), text, 0o644)
    }

    /// Changes the configuration file.
    pub fn change(&mut self, change: impl FnOnce(&mut Table)) -> anyhow::Result<()> {
        change(&mut self.table);
        self.save()
    }

    /// Lays `text` (TOML) over the configuration: tables are merged, anything else is replaced.
    pub fn overlay(&mut self, text: &str) -> anyhow::Result<()> {
        overlay(&mut self.table, text)?;
        self.save()
    }

    fn save(&self) -> anyhow::Result<()> {
        write(self.directory(), "agent.toml", &toml::to_string(&self.table)?, 0o644)
    }
}

/// How many threads agents have for their data path, if this run of the tests says so: see `cargo xtask test --threads`.
pub(in crate::lab) fn threads() -> anyhow::Result<Option<i64>> {
    let Ok(threads) = std::env::var("CHEOPS_LAB_THREADS") else { return Ok(None) };
    Ok(Some(threads.parse().with_context(|| format!("CHEOPS_LAB_THREADS is \"{threads}\""))?))
}

/// The federation that certificates of the lab speak of.
pub(in crate::lab) const FEDERATION: &str = "lab";

fn section<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

pub(in crate::lab) fn overlay(table: &mut Table, text: &str) -> anyhow::Result<()> {
    let over: Table = text.parse().with_context(|| format!("not TOML: {text}"))?;
    merge(table, over);
    Ok(())
}

fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value),
            (_, value) => _ = table.insert(key, value),
        }
    }
}

fn write(directory: &Path, name: &str, text: &str, mode: u32) -> anyhow::Result<()> {
    let path = directory.join(name);
    if name.contains("..") {
        bail!("{name} leads out of the agent's directory");
    }
    // Made anew under another name, so that a reader never sees half of it.
    let new = path.with_extension("new");
    std::fs::write(&new, text).with_context(|| format!("can't write {}", new.display()))?;
    std::fs::set_permissions(&new, Permissions::from_mode(mode))?;
    std::fs::rename(&new, &path).with_context(|| format!("can't write {}", path.display()))
}
