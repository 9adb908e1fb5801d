//! The copy of what sites keep together, in `/v1/status` and `/v1/check`.

use serde::Serialize;

use super::Agent;
use crate::config::MetadataConfig;
use crate::metadata::store::{DiskError, Facts, Link, Refusal};
use crate::metadata::{RefusedEndpoint, Snapshot};
use crate::observe::{Check, Grade};

/// Things that aren't believed and are named one by one; the rest is counted.
const NAMED: usize = 20;
/// How old the copy may be before `check` says so, in seconds.
const OLD: u64 = 300;

/// The copy, and what became of it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Metadata {
    /// `embedded`, `etcd`.
    backend: &'static str,
    /// Whether what is written is kept now.
    up: bool,
    /// Where the backend is configured to be, and where it is reached.
    endpoints: Vec<String>,
    endpoint: Option<String>,
    /// Why it isn't reached, and for how long.
    why_not: Option<String>,
    down_seconds: Option<f64>,
    /// Since the backend last gave a sign of life; without one, since names were last resolved.
    age_seconds: Option<f64>,
    /// Whether everything was seen once. If not, what is absent is not known.
    complete: bool,
    /// In hexadecimal, as etcdctl has it.
    cluster: Option<String>,
    revision: Option<i64>,
    sites: usize,
    services: usize,
    records: usize,
    /// Writes that wait for the backend.
    pending: usize,
    /// Those of them that it refuses.
    denied: Vec<RefusedLine>,
    /// Records that it has and that are too much to be taken.
    left_out: u64,
    /// How often it was reached anew.
    connects: u64,
    /// Records from before the cluster was wiped or restored, which nobody wrote since.
    stale: usize,
    /// When this agent saw that, in milliseconds since 1970.
    lost: Option<u64>,
    /// Why the copy doesn't outlive this agent.
    trouble: Option<String>,
    refused: Vec<RefusedLine>,
    /// All of them.
    refused_count: usize,
}

/// What isn't believed.
#[derive(Serialize)]
struct RefusedLine {
    what: String,
    why: String,
}

/// The section of the status.
pub fn section(agent: &Agent, snapshot: &Snapshot) -> Metadata {
    let facts = agent.metadata.facts();
    let refused = refused(agent);
    let (endpoint, why_not, down) = match &facts.link {
        _ if facts.embedded => (None, None, None),
        Link::Up { endpoint } => (Some(endpoint.clone()), None, None),
        Link::Down { why, since } => (None, Some(why.clone()), Some(since.elapsed().as_secs_f64())),
    };
    let renewed = facts.embedded.then(|| agent.known().refreshed.elapsed());
    Metadata {
        backend: if facts.embedded { "embedded" } else { "etcd" },
        up: facts.up(),
        endpoints: endpoints(agent),
        endpoint,
        why_not,
        down_seconds: down,
        age_seconds: renewed.or(facts.age).map(|age| age.as_secs_f64()),
        complete: facts.complete,
        cluster: facts.seen.map(|seen| format!("{:x}", seen.cluster)),
        revision: facts.seen.map(|seen| seen.revision),
        sites: snapshot.sites.len(),
        services: snapshot.services.len(),
        records: facts.records,
        pending: facts.pending,
        denied: facts
            .denied
            .iter()
            .take(NAMED)
            .map(|(what, why)| RefusedLine { what: what.clone(), why: why.clone() })
            .collect(),
        left_out: facts.left_out,
        connects: facts.connects,
        stale: facts.stale,
        lost: facts.lost.map(|lost| lost.at),
        trouble: facts.trouble.as_ref().map(ToString::to_string),
        refused_count: refused.len(),
        refused: refused.into_iter().take(NAMED).map(|(what, why, _)| RefusedLine { what, why }).collect(),
    }
}

/// Where this agent's file says that the backend is.
pub(super) fn endpoints(agent: &Agent) -> Vec<String> {
    match &agent.config().metadata {
        MetadataConfig::Embedded => Vec::new(),
        MetadataConfig::Etcd(etcd) => etcd.endpoints.clone(),
    }
}

/// Records and announced endpoints that aren't believed: what, why, and what to do.
fn refused(agent: &Agent) -> Vec<(String, String, &'static str)> {
    let view = agent.metadata.view();
    let records = view.refused.iter().map(|(key, why)| (key.clone(), why.to_string(), remedy(why)));
    let known = agent.known();
    let endpoints = known.refused.iter().map(|refused| {
        let remedy =
            "Look at [[services]] in the file of that site's agent; if it should be right, at this host's file";
        (what(refused), refused.why.to_string(), remedy)
    });
    records.chain(endpoints).collect()
}

fn what(refused: &RefusedEndpoint) -> String {
    match &refused.service {
        Some(service) => format!("{} of {} at {}", refused.what, service, refused.site),
        None => format!("site {}", refused.what),
    }
}

fn remedy(why: &Refusal) -> &'static str {
    match why {
        Refusal::Key => "Nothing needs to be done, if agents of the federation are newer; else look who writes there",
        Refusal::Excess(_) => "Look who writes so much there; what is left out counts as not written",
        Refusal::Seal(_) => {
            "Look who wrote it, and at the certificates of that site's agents; it counts as not written"
        }
        Refusal::Record(_) => {
            "Upgrade this agent if that site's is newer; else have that site's agent write it again (reload)"
        }
    }
}

/// The checks of it.
pub fn checks(agent: &Agent) -> Vec<Check> {
    let facts = agent.metadata.facts();
    let mut checks: Vec<Check> = disk(&facts).into_iter().chain(backend(&facts)).collect();
    let refused = refused(agent);
    let more = refused.len().saturating_sub(NAMED);
    for (what, why, remedy) in refused.into_iter().take(NAMED) {
        checks.push(Check::not("metadata-refused", Grade::Warn, format!("{what}: {why}"), remedy));
    }
    if more > 0 {
        let found = format!("{more} more are refused");
        checks.push(Check::not("metadata-refused", Grade::Warn, found, "See cheops status -o json"));
    }
    checks
}

fn disk(facts: &Facts) -> Option<Check> {
    let trouble = facts.trouble.as_ref()?;
    let remedy = match trouble {
        DiskError::Io { path, .. } => {
            format!("Make room, or let the agent write at {}; it tries again", path.display())
        }
        DiskError::Busy { .. } => "Give each agent a state-dir of its own, or end the other one".to_owned(),
        DiskError::Damaged { path, .. } => format!("Move {} away; the agent makes a new one at once", path.display()),
        DiskError::Newer { path, .. } | DiskError::Foreign { path, .. } => {
            format!("Move {} away if nothing else needs it; the agent makes a new one at once", path.display())
        }
    };
    let found = format!("what is known is not kept over a restart: {trouble}");
    Some(Check::not("metadata", Grade::Fail, found, remedy))
}

fn backend(facts: &Facts) -> Vec<Check> {
    if facts.embedded {
        return vec![Check::ok("metadata", format!("{} records of this site's own", facts.records))];
    }
    let age = facts.age.map_or_else(|| "never seen".to_owned(), |age| format!("{} s old", age.as_secs()));
    let mut checks = Vec::new();
    match &facts.link {
        Link::Up { endpoint } if facts.up() => {
            checks.push(Check::ok("metadata", format!("connected to {endpoint}, {age}")))
        }
        Link::Up { endpoint } => checks.push(not(facts, format!("{endpoint} is silent; what is known is {age}"))),
        Link::Down { why, .. } => checks.push(not(facts, format!("not connected: {why}; what is known is {age}"))),
    }
    checks.extend(facts.denied.iter().take(NAMED).map(|(what, why)| {
        let found = format!("the cluster refuses to keep {what}: {why}");
        Check::not(
            "metadata-writes",
            Grade::Warn,
            found,
            "It is tried again each 30 s; look at etcd's role of this agent's user",
        )
    }));
    if facts.left_out > 0 {
        let found = format!("{} records are too much and left out", facts.left_out);
        checks.push(Check::not(
            "metadata",
            Grade::Warn,
            found,
            "Look who writes so much to the cluster: cheops status -o json",
        ));
    }
    if facts.lost.is_some() {
        let found = format!("the cluster was wiped or restored; {} records of before are kept here", facts.stale);
        let remedy =
            "Each site writes its own again by itself; remove sites that are no more: cheops site remove --force";
        checks.push(Check::not("metadata", Grade::Warn, found, remedy));
    }
    checks
}

fn not(facts: &Facts, found: String) -> Check {
    let old = facts.age.is_none_or(|age| age.as_secs() > OLD);
    let grade = if old && !facts.complete { Grade::Fail } else { Grade::Warn };
    let found = format!("{found}; {} writes wait", facts.pending);
    Check::not(
        "metadata",
        grade,
        found,
        "Requests don't need it. Look at the etcd members, the way to them, and [metadata]",
    )
}
