//! From files to a checked [`Config`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{ConfigError, Diagnostic, Findings, Place, Severity, Source};
use super::model::*;
use super::raw::{self, Located, Raw, RawMetadata, RawPeer, RawService};
use super::source::{self, Table};
use super::{validate, values};
use crate::names::HostName;

/// Where the agent looks when it isn't told.
pub const DEFAULT_PATH: &str = "/etc/cheops/agent.toml";

/// Below the state directory: the certificates of a host that has joined a federation by command.
const JOINED: &str = "tls";

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// What is odd but works.
    pub warnings: Vec<Diagnostic>,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
}

/// Reads `path` and, in the order of their names, the drop-ins beside it (`agent.toml` → `agent.d/*.toml`). A later
/// value wins, tables are merged, and sites and services are merged by name.
///
/// # Errors
/// Every mistake of every file, each with its place.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    read(path, None)
}

/// [`load`], as if this drop-in held that text; without a text, as if it weren't there.
///
/// # Errors
/// As [`load`].
pub fn load_with(path: &Path, drop_in: &Path, text: Option<&str>) -> Result<Loaded, ConfigError> {
    read(path, Some((drop_in, text)))
}

/// The directory of a configuration's drop-ins.
pub fn drop_ins(path: &Path) -> PathBuf {
    path.with_extension("d")
}

fn read(path: &Path, instead: Option<(&Path, Option<&str>)>) -> Result<Loaded, ConfigError> {
    let mut findings = Findings::default();
    let mut sources = Vec::new();
    let mut files = files(path, &mut findings);
    if let Some((drop_in, _)) = instead
        && !files.iter().any(|file| file == drop_in)
    {
        files.push(drop_in.to_owned());
        if let Some(drop_ins) = files.get_mut(1..) {
            drop_ins.sort();
        }
    }
    for file in files {
        let read = match instead {
            Some((drop_in, None)) if file == drop_in => continue,
            Some((drop_in, Some(text))) if file == drop_in => Ok(text.to_owned()),
            _ => fs::read_to_string(&file),
        };
        match read {
            Ok(text) => sources.push(Arc::new(Source { path: file, text })),
            Err(error) => findings.error(None, format!("{}: {error}", file.display())),
        }
    }
    check(sources, findings)
}

/// [`load`] for one text, as if it stood in `agent.toml`.
///
/// # Errors
/// As [`load`].
pub fn from_text(text: &str) -> Result<Loaded, ConfigError> {
    check(vec![Arc::new(Source { path: "agent.toml".into(), text: text.into() })], Findings::default())
}

fn files(path: &Path, findings: &mut Findings) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    let directory = drop_ins(path);
    match fs::read_dir(&directory) {
        Ok(entries) => {
            let drop_ins = entries.filter_map(|entry| Some(entry.ok()?.path()));
            files.extend(drop_ins.filter(|path| path.extension().is_some_and(|extension| extension == "toml")));
            if let Some(drop_ins) = files.get_mut(1..) {
                drop_ins.sort();
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => findings.error(None, format!("{}: {error}", directory.display())),
    }
    files
}

fn check(sources: Vec<Arc<Source>>, mut findings: Findings) -> Result<Loaded, ConfigError> {
    let mut merged = Table::new();
    for source in &sources {
        source::merge(&mut merged, source::parse(source, &mut findings));
    }
    let broken = findings.0.iter().any(|finding| finding.severity == Severity::Error);
    let config = match sources.first() {
        // Rules between values mean nothing when a file could not be read.
        Some(first) if !broken => {
            let root = Place { source: first.clone(), span: 0..0 };
            let raw = raw::read(&merged, &root, &mut findings);
            validate::validate(&raw, &mut findings);
            build(raw)
        }
        _ => None,
    };
    let files: Vec<PathBuf> = sources.iter().map(|source| source.path.clone()).collect();
    let failed = findings.0.iter().any(|finding| finding.severity == Severity::Error);
    match config {
        Some(config) if !failed => Ok(Loaded { config, warnings: findings.0, files }),
        _ => Err(ConfigError { findings: in_order(findings.0, &files) }),
    }
}

/// Findings as a reader meets them.
fn in_order(mut findings: Vec<Diagnostic>, files: &[PathBuf]) -> Vec<Diagnostic> {
    findings.sort_by_key(|finding| {
        let place = finding.place.as_ref();
        place.map(|place| (files.iter().position(|file| *file == place.source.path), place.span.start))
    });
    findings
}

/// The model; nothing when something is missing, which is a finding already.
fn build(raw: Raw) -> Option<Config> {
    let host = match raw.host {
        Some(host) => host.value,
        None => nix::unistd::gethostname().ok()?.to_string_lossy().into_owned(),
    };
    let peer = match raw.peer {
        Some(peer) => Some(build_peer(peer, Path::new(&raw.state_dir))?),
        None => None,
    };
    let cgroup =
        if raw.cgroup.value == "auto" { CgroupChoice::Auto } else { CgroupChoice::Path(raw.cgroup.value.into()) };
    let sites = raw.sites.into_iter().map(|site| SiteSeed {
        name: site.name.value.into(),
        peers: site.peers.into_iter().map(|peer| peer.value).collect(),
    });
    let services: Option<Vec<_>> =
        raw.services.into_iter().map(|service| build_service(service, raw.when_agent_down)).collect();
    Some(Config {
        site: raw.site?.value.into(),
        host: HostName::from(host),
        federation: raw.federation.value,
        state_dir: raw.state_dir.into(),
        run_dir: raw.run_dir.into(),
        threads: raw.threads.value,
        intercept: Intercept {
            mode: raw.mode,
            cgroup,
            when_agent_down: raw.when_agent_down,
            probe_every: raw.probe_every.value,
        },
        scope: ScopeCarriers {
            header: raw.scope_header.value,
            parameter: raw.scope_parameter.value,
            basic: raw.scope_basic,
            tokens: Vec::new(),
        },
        identity: build_identity(raw.trust, raw.foreign_roles),
        peer,
        metadata: build_metadata(raw.metadata),
        admin: AdminConfig {
            socket: raw.admin_socket.value.into(),
            listen: raw.admin_listen.map(|listen| listen.value),
        },
        limits: raw.limits,
        timeouts: raw.timeouts,
        log: raw.log,
        profile_dirs: raw.profile_dirs.into_iter().map(|directory| directory.value.into()).collect(),
        sites: sites.collect(),
        services: services?,
    })
}

fn build_identity(trust: Vec<Located<String>>, foreign_roles: Vec<Located<String>>) -> Identity {
    let trust = match trust.iter().any(|site| site.value == validate::ALL_SITES) {
        true => Trust::All,
        false => Trust::Sites(trust.into_iter().map(|site| site.value.into()).collect()),
    };
    Identity { trust, foreign_roles: foreign_roles.into_iter().map(|role| role.value).collect() }
}

fn build_peer(peer: RawPeer, state_dir: &Path) -> Option<PeerConfig> {
    let security = if peer.insecure.value {
        PeerSecurity::Insecure
    } else if peer.ca.is_none() && peer.cert.is_none() && peer.key.is_none() {
        PeerSecurity::Joined { directory: state_dir.join(JOINED) }
    } else {
        let [ca, cert, key] = [peer.ca?, peer.cert?, peer.key?].map(|file| PathBuf::from(file.value));
        PeerSecurity::Tls { ca, cert, key }
    };
    let certificate_life = peer.certificate_life.value;
    let [nearest, successors, sample] = peer.probes.map(|number| number.value);
    let probes = Probes { nearest, successors, sample };
    Some(PeerConfig { listen: peer.listen?.value, security, certificate_life, probes })
}

fn build_metadata(metadata: RawMetadata) -> MetadataConfig {
    if metadata.backend.value != validate::ETCD {
        return MetadataConfig::Embedded;
    }
    let endpoints = metadata.endpoints.map(|endpoints| endpoints.value).unwrap_or_default();
    let path = |path: super::raw::Located<String>| PathBuf::from(path.value);
    MetadataConfig::Etcd(EtcdConfig {
        endpoints: endpoints.iter().filter_map(|url| Some(values::endpoint(&url.value).ok()?.url())).collect(),
        ca: metadata.ca.map(path),
        identity: metadata.cert.map(path).zip(metadata.key.map(path)),
        user: metadata.user.map(|user| user.value).zip(metadata.password_file.map(path)),
    })
}

fn build_service(service: RawService, when_agent_down: WhenAgentDown) -> Option<ServiceSeed> {
    let mut endpoints = std::collections::BTreeMap::new();
    for (site, written) in service.endpoints {
        let urls: Option<Vec<_>> = written.urls.iter().map(|url| values::endpoint(&url.value).ok()).collect();
        endpoints.insert(site.into(), urls?);
    }
    Some(ServiceSeed {
        name: service.name.value.into(),
        kind: service.kind.map(|kind| kind.value),
        profile: service.profile.value,
        endpoints,
        when_agent_down: service.when_agent_down.unwrap_or(when_agent_down),
        host: service.host,
        export: service.export,
        parameter: service.parameter,
    })
}

#[cfg(test)]
mod tests;
