//! The configuration as the files have it: typed by the table of keys, each value with its place. What is wrong with
//! one value alone is found here; what is wrong between values, in `validate`.

mod section;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::diagnostic::{Findings, Place};
use super::model::{HostHeader, InterceptMode, Limits, LogConfig, LogFormat, Probes, Timeouts, WhenAgentDown};
use super::source::{Node, Table, Value};
use super::values;
use section::Section;

/// A value and where it was written; no place means that it is a default.
#[derive(Clone, Debug)]
pub struct Located<T> {
    pub value: T,
    pub place: Option<Place>,
}

#[derive(Debug)]
pub struct Raw {
    pub site: Option<Located<String>>,
    pub host: Option<Located<String>>,
    pub federation: Located<String>,
    pub state_dir: String,
    pub run_dir: String,
    pub threads: Located<usize>,
    pub profile_dirs: Vec<Located<String>>,
    pub mode: InterceptMode,
    pub cgroup: Located<String>,
    pub when_agent_down: WhenAgentDown,
    pub probe_every: Located<Duration>,
    pub scope_header: Located<String>,
    pub scope_parameter: Located<String>,
    pub scope_basic: bool,
    pub trust: Vec<Located<String>>,
    pub foreign_roles: Vec<Located<String>>,
    pub peer: Option<RawPeer>,
    pub metadata: RawMetadata,
    pub admin_socket: Located<String>,
    pub admin_listen: Option<Located<SocketAddr>>,
    pub limits: Limits,
    pub limits_place: Option<Place>,
    pub timeouts: Timeouts,
    pub timeouts_place: Option<Place>,
    pub log: LogConfig,
    pub sites: Vec<RawSite>,
    pub services: Vec<RawService>,
}

#[derive(Debug)]
pub struct RawPeer {
    pub place: Option<Place>,
    pub listen: Option<Located<SocketAddr>>,
    pub ca: Option<Located<String>>,
    pub cert: Option<Located<String>>,
    pub key: Option<Located<String>>,
    pub certificate_life: Located<Duration>,
    /// Sites that are probed: the nearest, the next by name, a sample.
    pub probes: [Located<usize>; 3],
    pub insecure: Located<bool>,
}

#[derive(Debug)]
pub struct RawMetadata {
    pub backend: Located<String>,
    pub endpoints: Option<Located<Vec<Located<String>>>>,
    pub ca: Option<Located<String>>,
    pub cert: Option<Located<String>>,
    pub key: Option<Located<String>>,
    pub user: Option<Located<String>>,
    pub password_file: Option<Located<String>>,
}

#[derive(Debug)]
pub struct RawSite {
    pub name: Located<String>,
    pub peers: Vec<Located<String>>,
}

#[derive(Debug)]
pub struct RawService {
    pub name: Located<String>,
    pub kind: Option<Located<String>>,
    pub profile: Located<String>,
    pub endpoints: BTreeMap<String, RawEndpoints>,
    pub when_agent_down: Option<WhenAgentDown>,
    pub host: HostHeader,
    pub export: bool,
    pub parameter: bool,
}

/// A site's endpoints of one service.
#[derive(Debug)]
pub struct RawEndpoints {
    pub site: Place,
    pub urls: Vec<Located<String>>,
}

/// Reads the merged table; `root` is where a missing key is reported.
pub fn read(table: &Table, root: &Place, findings: &mut Findings) -> Raw {
    let top = Section { path: "", table: Some(table), place: Some(root) };
    top.unknown_keys(findings);
    let f = findings;
    let [intercept, scope, identity, peer, metadata, admin, limits, timeouts, log] =
        ["intercept", "scope", "identity", "peer", "metadata", "admin", "limits", "timeouts", "log"]
            .map(|name| top.section(name, f));
    Raw {
        site: top.required("site", text, f),
        host: top.optional("host", text, f),
        federation: top.get("federation", text, f),
        state_dir: top.get("state-dir", text, f).value,
        run_dir: top.get("run-dir", text, f).value,
        threads: top.get("threads", values::count, f),
        profile_dirs: top.get("profile-dirs", texts, f).value,
        mode: intercept
            .word("mode", &[("ebpf", InterceptMode::Ebpf), ("off", InterceptMode::Off)], f)
            .unwrap_or(InterceptMode::Ebpf),
        cgroup: intercept.get("cgroup", text, f),
        when_agent_down: intercept.word("when-agent-down", WHEN_DOWN, f).unwrap_or(WhenAgentDown::Pass),
        probe_every: intercept.get("probe-every", values::duration, f),
        scope_header: scope.get("header", text, f),
        scope_parameter: scope.get("parameter", text, f),
        scope_basic: scope.get("basic", values::flag, f).value,
        trust: identity.get("trust", texts, f).value,
        foreign_roles: identity.get("foreign-roles", texts, f).value,
        peer: peer.table.is_some().then(|| read_peer(&peer, f)),
        metadata: read_metadata(&metadata, f),
        admin_socket: admin.get("socket", text, f),
        admin_listen: admin.optional("listen", values::address, f),
        limits: read_limits(&limits, f),
        limits_place: limits.place.cloned(),
        timeouts: read_timeouts(&timeouts, f),
        timeouts_place: timeouts.place.cloned(),
        log: read_log(&log, f),
        sites: top.list("sites", f).iter().filter_map(|section| read_site(section, f)).collect(),
        services: top.list("services", f).iter().filter_map(|section| read_service(section, f)).collect(),
    }
}

const WHEN_DOWN: &[(&str, WhenAgentDown)] = &[("pass", WhenAgentDown::Pass), ("refuse", WhenAgentDown::Refuse)];

fn read_peer(peer: &Section<'_>, f: &mut Findings) -> RawPeer {
    RawPeer {
        place: peer.place.cloned(),
        listen: peer.required("listen", values::address, f),
        ca: peer.optional("ca", text, f),
        cert: peer.optional("cert", text, f),
        key: peer.optional("key", text, f),
        certificate_life: peer.get("certificate-life", values::duration, f),
        probes: Probes::KEYS.map(|(name, _)| peer.get(name, values::count, f)),
        insecure: peer.get("insecure", values::flag, f),
    }
}

fn read_metadata(metadata: &Section<'_>, f: &mut Findings) -> RawMetadata {
    metadata.word("backend", &[("embedded", ()), ("etcd", ())], f);
    RawMetadata {
        backend: metadata.get("backend", text, f),
        endpoints: metadata.optional("endpoints", texts, f),
        ca: metadata.optional("ca", text, f),
        cert: metadata.optional("cert", text, f),
        key: metadata.optional("key", text, f),
        user: metadata.optional("user", text, f),
        password_file: metadata.optional("password-file", text, f),
    }
}

fn read_limits(limits: &Section<'_>, f: &mut Findings) -> Limits {
    Limits {
        head_bytes: limits.get("head-bytes", values::size, f).value,
        headers: limits.get("headers", values::count, f).value,
        chunk_extension_bytes: narrow(limits.get("chunk-extension-bytes", values::size, f).value),
        trailer_bytes: narrow(limits.get("trailer-bytes", values::size, f).value),
        pipelined_bytes: limits.get("pipelined-bytes", values::size, f).value,
        connections: limits.get("connections", values::count, f).value,
        connections_per_client: limits.get("connections-per-client", values::count, f).value,
        pending: limits.get("pending", values::count, f).value,
        refusals: limits.get("refusals", values::count, f).value,
        backlog: i32::try_from(limits.get("backlog", values::count, f).value).unwrap_or(i32::MAX),
        descriptors: limits.get("descriptors", values::count, f).value as u64,
        peer_exchanges: limits.get("peer-exchanges", values::count, f).value,
        otherwise_spool: limits.get("otherwise-spool", values::size, f).value,
        workflow_records: limits.get("workflow-records", values::count, f).value,
    }
}

/// What doesn't fit is refused by its range.
fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn read_timeouts(timeouts: &Section<'_>, f: &mut Findings) -> Timeouts {
    let mut get = |name| timeouts.get(name, values::duration, f).value;
    Timeouts {
        header_read: get("header-read"),
        body_read: get("body-read"),
        idle: get("idle"),
        half_closed: get("half-closed"),
        connect: get("connect"),
        exchange: get("exchange"),
        keepalive: get("keepalive"),
        user_timeout: get("user-timeout"),
        workflow: get("workflow"),
        drain: get("drain"),
        handover: get("handover"),
    }
}

fn read_log(log: &Section<'_>, f: &mut Findings) -> LogConfig {
    LogConfig {
        level: log.get("level", text, f).value,
        format: log
            .word("format", &[("human", LogFormat::Human), ("json", LogFormat::Json)], f)
            .unwrap_or(LogFormat::Human),
    }
}

fn read_site(site: &Section<'_>, f: &mut Findings) -> Option<RawSite> {
    let name = site.required("name", text, f);
    let peers = site.required("peer", texts, f);
    Some(RawSite { name: name?, peers: peers.map(|peers| peers.value).unwrap_or_default() })
}

fn read_service(service: &Section<'_>, f: &mut Findings) -> Option<RawService> {
    let name = service.required("name", text, f);
    let endpoints = service.required("endpoints", endpoints, f);
    let rest = RawService {
        name: name.clone().unwrap_or(Located { value: String::new(), place: None }),
        kind: service.optional("type", text, f),
        profile: service.get("profile", text, f),
        endpoints: endpoints.map(|endpoints| endpoints.value).unwrap_or_default(),
        when_agent_down: service.word("when-agent-down", WHEN_DOWN, f),
        host: service
            .word("host", &[("client", HostHeader::Client), ("own", HostHeader::Own)], f)
            .unwrap_or(HostHeader::Client),
        export: service.get("export", values::flag, f).value,
        parameter: service.get("parameter", values::flag, f).value,
    };
    name.map(|_| rest)
}

fn text(node: &Node) -> Option<String> {
    values::text(node).map(str::to_owned)
}

fn texts(node: &Node) -> Option<Vec<Located<String>>> {
    let texts = values::texts(node)?;
    Some(
        texts
            .into_iter()
            .map(|(node, text)| Located { value: text.to_owned(), place: Some(node.place.clone()) })
            .collect(),
    )
}

fn endpoints(node: &Node) -> Option<BTreeMap<String, RawEndpoints>> {
    let Value::Table(table) = &node.value else { return None };
    table
        .iter()
        .map(|(site, entry)| Some((site.clone(), RawEndpoints { site: entry.key.clone(), urls: texts(&entry.node)? })))
        .collect()
}

/// Whether `kind` takes the node; for the test that the table's defaults fit their types.
#[cfg(test)]
fn fits(kind: super::keys::Kind, node: &Node) -> bool {
    use super::keys::Kind;
    match kind {
        Kind::Text | Kind::Path => values::text(node).is_some(),
        Kind::Flag => values::flag(node).is_some(),
        Kind::Count => values::count(node).is_some(),
        Kind::Size => values::size(node).is_some(),
        Kind::Duration => values::duration(node).is_some(),
        Kind::Address => values::address(node).is_some(),
        Kind::OneOf(words) => values::text(node).is_some_and(|text| words.contains(&text)),
        Kind::Texts => values::texts(node).is_some(),
        Kind::Endpoints => endpoints(node).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::section::default;
    use super::*;
    use crate::config::keys::{self, Absent, KEYS, SECTIONS};

    #[test]
    fn every_default_fits_its_key() {
        for key in KEYS {
            if let Absent::Default(_) = key.absent {
                let node = default(key.path).unwrap_or_else(|| panic!("{}: the default is not TOML", key.path));
                assert!(fits(key.kind, &node), "{}", key.path);
            }
        }
    }

    #[test]
    fn every_key_belongs_to_a_section_and_every_section_has_keys() {
        for key in KEYS {
            let (section, _) = keys::split(key.path);
            assert!(section.is_empty() || SECTIONS.iter().any(|(name, _)| *name == section), "{}", key.path);
        }
        for (section, _) in SECTIONS {
            assert!(KEYS.iter().any(|key| keys::split(key.path).0 == *section), "{section}");
        }
    }
}
