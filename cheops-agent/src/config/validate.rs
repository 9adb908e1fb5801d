//! Rules between values: each is one function, and each finding stands at the value that has to change.

mod endpoints;
mod metadata;
mod peers;

use std::collections::BTreeMap;

use super::diagnostic::Findings;
use super::model::Probes;
use super::raw::{Located, Raw};
pub use metadata::ETCD;

/// Applies every rule.
pub fn validate(raw: &Raw, findings: &mut Findings) {
    const RULES: &[fn(&Raw, &mut Findings)] = &[
        names,
        host_name,
        duplicate_sites,
        duplicate_services,
        types,
        scope_header,
        scope_parameter,
        trust,
        cgroup,
        limits,
        timeouts,
        probe,
        log,
        metadata::backend,
        metadata::urls,
        metadata::certificates,
        metadata::password,
        peers::addresses,
        peers::security,
        peers::needed,
        peers::admin_listen,
        endpoints::sites,
        endpoints::urls,
        endpoints::told_apart,
        endpoints::own_site,
        endpoints::loopback_elsewhere,
        endpoints::not_the_agent,
    ];
    for rule in RULES {
        rule(raw, findings);
    }
}

/// Longest name of a site or service, in bytes.
const NAME_BYTES: usize = 128;

fn names(raw: &Raw, findings: &mut Findings) {
    let sites = raw.site.iter().chain(raw.sites.iter().map(|site| &site.name)).map(|name| ("site", name));
    let services = raw.services.iter().map(|service| ("service", &service.name));
    let types = raw.services.iter().filter_map(|service| service.kind.as_ref()).map(|kind| ("type", kind));
    for (what, name) in sites.chain(services).chain(types) {
        if let Err(why) = check_name(&name.value) {
            findings.error(name.place.as_ref(), format!("\"{}\" can't be a {what}'s name: {why}", name.value));
        }
    }
}

/// A name that a scope can say, quoted or not.
fn check_name(name: &str) -> Result<(), String> {
    if name.len() > NAME_BYTES {
        return Err(format!("it is longer than {NAME_BYTES} bytes"));
    }
    crate::names::check(name).map_err(|fault| fault.to_string())
}

/// The host's name and the federation stand in the certificate's URI (AMENDMENTS 20).
fn host_name(raw: &Raw, findings: &mut Findings) {
    for name in raw.host.iter().chain([&raw.federation]) {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.value.is_empty() || !name.value.chars().all(fits) {
            findings.error(name.place.as_ref(), "only letters, digits, '-', '_' and '.' can stand here".to_owned());
        }
    }
}

fn duplicate_sites(raw: &Raw, findings: &mut Findings) {
    duplicates("site", raw.sites.iter().map(|site| &site.name), findings);
}

fn duplicate_services(raw: &Raw, findings: &mut Findings) {
    duplicates("service", raw.services.iter().map(|service| &service.name), findings);
}

fn duplicates<'a>(what: &str, names: impl Iterator<Item = &'a Located<String>>, findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for name in names {
        let line = name.place.as_ref().map_or(0, |place| place.line_column().0);
        if let Some((first, exact)) = seen.insert(name.value.to_lowercase(), (line, &name.value)) {
            let message = format!("{what} \"{}\" stands in line {first} already", name.value);
            if *exact == name.value {
                findings.error(name.place.as_ref(), message);
            } else {
                findings.warn(
                    name.place.as_ref(),
                    format!("{message}, but for the case of its letters: scopes must write it exactly"),
                );
            }
        }
    }
}

/// A scope names a service by its type too, if that is unambiguous.
fn types(raw: &Raw, findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for service in &raw.services {
        let Some(kind) = &service.kind else { continue };
        if let Some(other) = seen.insert(kind.value.as_str(), &service.name.value) {
            findings.warn(
                kind.place.as_ref(),
                format!("type \"{}\" is {other}'s too: scopes can't name a service by it", kind.value),
            );
        }
        if let Some(other) =
            raw.services.iter().find(|other| other.name.value == kind.value && other.name.value != service.name.value)
        {
            findings
                .warn(kind.place.as_ref(), format!("\"{}\" is also a service's name, which wins", other.name.value));
        }
    }
}

/// Fields that mean something else already (RFC 9110, 9112): cutting them out would break the message.
const TAKEN_FIELDS: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "authorization",
    "content-type",
    "date",
    "cookie",
];

fn scope_header(raw: &Raw, findings: &mut Findings) {
    let header = &raw.scope_header;
    if ::http::HeaderName::from_bytes(header.value.as_bytes()).is_err() {
        findings.error(header.place.as_ref(), format!("\"{}\" is not a header's name", header.value));
    } else if TAKEN_FIELDS.contains(&header.value.to_lowercase().as_str()) {
        findings.error(header.place.as_ref(), format!("\"{}\" means something else in HTTP already", header.value));
    }
}

fn scope_parameter(raw: &Raw, findings: &mut Findings) {
    let parameter = &raw.scope_parameter;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    if parameter.value.is_empty() || !parameter.value.chars().all(fits) {
        findings.error(
            parameter.place.as_ref(),
            "a query parameter's name here is letters, digits, '-', '_', '.' or '~'".to_owned(),
        );
    }
}

/// Every site, in `identity.trust`.
pub const ALL_SITES: &str = "*";

fn trust(raw: &Raw, findings: &mut Findings) {
    for site in &raw.trust {
        if site.value == ALL_SITES {
            if raw.trust.len() > 1 {
                findings.error(site.place.as_ref(), "\"*\" is every site: it stands alone".to_owned());
            }
        } else if let Err(why) = check_name(&site.value) {
            findings.error(site.place.as_ref(), format!("\"{}\" can't be a site's name: {why}", site.value));
        } else if raw.site.as_ref().is_some_and(|own| own.value == site.value) {
            findings.warn(site.place.as_ref(), format!("{} is this site: its own tokens need no trust", site.value));
        }
    }
    let (trusts, accepts) = (raw.trust.first(), raw.foreign_roles.iter().any(|role| !role.value.is_empty()));
    if let Some(site) = trusts.filter(|_| !accepts) {
        findings.warn(site.place.as_ref(), "without \"foreign-roles\" no token of another site is accepted".to_owned());
    }
}

fn cgroup(raw: &Raw, findings: &mut Findings) {
    if raw.cgroup.value != "auto" && !raw.cgroup.value.starts_with('/') {
        findings.error(raw.cgroup.place.as_ref(), "\"cgroup\" must be \"auto\" or a cgroup's absolute path".to_owned());
    }
}

fn limits(raw: &Raw, findings: &mut Findings) {
    let limits = &raw.limits;
    let ranges = [
        ("head-bytes", limits.head_bytes, 1024, 16 << 20),
        ("headers", limits.headers, 8, 1024),
        ("chunk-extension-bytes", limits.chunk_extension_bytes as usize, 0, 1 << 20),
        ("trailer-bytes", limits.trailer_bytes as usize, 128, 1 << 20),
        ("pipelined-bytes", limits.pipelined_bytes, 4096, 16 << 20),
        ("connections", limits.connections, 1, 1 << 20),
        ("connections-per-client", limits.connections_per_client, 1, 1 << 20),
        ("pending", limits.pending, 1, 1 << 20),
        ("refusals", limits.refusals, 0, 1 << 16),
        ("backlog", usize::try_from(limits.backlog).unwrap_or_default(), 1, 1 << 16),
        ("peer-exchanges", limits.peer_exchanges, 1, 1 << 20),
        ("otherwise-spool", limits.otherwise_spool, 0, 1 << 30),
        ("workflow-records", limits.workflow_records, 1, 1 << 24),
    ];
    for (name, value, least, most) in ranges {
        if !(least..=most).contains(&value) {
            findings
                .error(raw.limits_place.as_ref(), format!("\"{name}\" must be from {least} to {most}; it is {value}"));
        }
    }
    if (1..64).contains(&limits.descriptors) {
        findings.error(
            raw.limits_place.as_ref(),
            format!("\"descriptors\" must be 0 or at least 64; it is {}", limits.descriptors),
        );
    }
    if raw.threads.value > 1024 {
        findings.error(raw.threads.place.as_ref(), "\"threads\" must be at most 1024".to_owned());
    }
}

/// What would let nothing through, and what the kernel doesn't take (tcp(7)).
fn timeouts(raw: &Raw, findings: &mut Findings) {
    use std::time::Duration;
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    const SHORTEST: Duration = Duration::from_millis(10);
    let timeouts = &raw.timeouts;
    let ranges = [
        ("header-read", timeouts.header_read, SHORTEST, WEEK),
        ("body-read", timeouts.body_read, SHORTEST, WEEK),
        ("half-closed", timeouts.half_closed, SHORTEST, WEEK),
        ("connect", timeouts.connect, SHORTEST, WEEK),
        ("exchange", timeouts.exchange, SHORTEST, WEEK),
        ("keepalive", timeouts.keepalive, Duration::from_secs(1), Duration::from_secs(32_767)),
        ("user-timeout", timeouts.user_timeout, Duration::ZERO, WEEK),
    ];
    for (name, value, least, most) in ranges {
        if !(least..=most).contains(&value) {
            findings.error(
                raw.timeouts_place.as_ref(),
                format!("\"{name}\" must be from {least:?} to {most:?}; it is {value:?}"),
            );
        }
    }
}

/// Of certificates: that long a revocation must be kept.
const LONGEST_LIFE: std::time::Duration = std::time::Duration::from_secs(90 * 86_400);

fn probe(raw: &Raw, findings: &mut Findings) {
    for (number, (name, allowed)) in raw.peer.iter().flat_map(|peer| peer.probes.iter().zip(Probes::KEYS)) {
        if !allowed.contains(&number.value) {
            let (least, most) = (allowed.start(), allowed.end());
            findings.error(number.place.as_ref(), format!("\"{name}\" must be from {least} to {most}"));
        }
    }
    if let Some(life) = raw.peer.as_ref().map(|peer| &peer.certificate_life)
        && !(std::time::Duration::from_secs(1)..=LONGEST_LIFE).contains(&life.value)
    {
        findings.error(life.place.as_ref(), "\"certificate-life\" must be from \"1s\" to \"2160h\"".to_owned());
    }
    if raw.probe_every.value < std::time::Duration::from_secs(1) {
        findings.error(raw.probe_every.place.as_ref(), "\"probe-every\" must be at least \"1s\"".to_owned());
    }
}

fn log(raw: &Raw, findings: &mut Findings) {
    if let Err(error) = raw.log.level.parse::<tracing_subscriber::filter::Targets>() {
        findings.error(None, format!("log.level \"{}\" can't be read: {error}", raw.log.level));
    }
}
