//! Figures that other rooms keep: asked for when `/metrics` is.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::capture::Capture;
use crate::act::tokens::Outcome;
use crate::act::{Shared, Tokens, splice};
use crate::admin::{Agent, Peers};
use crate::kernel::session::Sessions;
use crate::metadata::record::now;
use crate::names::SiteName;
use crate::peer::{Count, PeerState, PeerStatus, Security};
use crate::workflow::{Asked, Kind, Refused, Stayed, Workflows};

/// Adds the figures of other rooms to the metrics.
pub fn collect(agent: &Arc<Agent>, capture: &Capture) {
    let add = |collector| agent.observer.add_collector(collector);
    add(Box::new(Kernel(capture.clone())));
    add(Box::new(Uncopied));
    add(Box::new(Metadata(agent.clone())));
    if let Some(sessions) = agent.sessions.clone() {
        add(Box::new(Exec(sessions)));
    }
    add(Box::new(Calls(agent.shared.workflows.clone())));
    add(Box::new(ForeignTokens(agent.shared.tokens.clone())));
    if let Some(peers) = agent.peers.clone() {
        add(Box::new(Certificate(peers.clone())));
        add(Box::new(Links { peers, shared: agent.shared.clone() }));
    }
}

/// The kernel programs' counters, by hook and by outcome and reason.
pub struct Kernel(pub Capture);

/// What a gauge shows of a site; nothing when that is unknown.
type Figure = fn(&PeerStatus) -> Option<f64>;

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64())
}

/// The peer links: what happened on them, and how each site stands.
pub struct Links {
    pub peers: Peers,
    pub shared: Arc<Shared>,
}

/// When this host's certificate expires.
pub struct Certificate(pub Peers);

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

impl Collector for Certificate {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let security = self.0.client.security();
        let Security::Tls(trust) = &*security else { return Ok(()) };
        let left = trust.not_after.saturating_sub(i64::try_from(now() / 1000).unwrap_or(i64::MAX));
        let meaning = "Seconds until this host's certificate expires";
        let gauge = encoder.encode_descriptor("cert_expiry_seconds", meaning, None, MetricType::Gauge)?;
        ConstGauge::new(left).encode(gauge)
    }
}

/// The sessions of `cheops exec`.
pub struct Exec(pub Arc<Sessions>);

impl Collector for Exec {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let live = i64::try_from(self.0.list().len()).unwrap_or(i64::MAX);
        let gauge =
            encoder.encode_descriptor("exec_sessions", "Live sessions of cheops exec", None, MetricType::Gauge)?;
        ConstGauge::new(live).encode(gauge)
    }
}

/// What went on without being copied.
#[derive(Debug)]
pub struct Uncopied;

impl Collector for Uncopied {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let meaning = "Bytes of bodies and tunnels that went on uncopied, by splice(2)";
        let counter = encoder.encode_descriptor("spliced_bytes", meaning, None, MetricType::Counter)?;
        ConstCounter::new(splice::spliced()).encode(counter)
    }
}

/// How calls were linked to the scoped requests that caused them.
pub struct Calls(pub Arc<Workflows>);

impl Collector for Calls {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let meaning = "Ids of scoped requests by which calls are found";
        let family = encoder.encode_descriptor("workflow_records", meaning, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(self.0.live()).unwrap_or(i64::MAX)).encode(family)?;
        let counters = self.0.counters();
        let meaning = "Requests without a scope while there were records, by the id that linked them";
        let mut family = encoder.encode_descriptor("workflow_calls", meaning, None, MetricType::Counter)?;
        let linked = Kind::ALL.iter().map(|kind| (kind.as_str(), counters.linked(*kind)));
        let stayed = Stayed::ALL.iter().map(|why| (why.as_str(), counters.stayed(*why)));
        for (link, count) in linked.chain(stayed).chain([("none", counters.unlinked())]) {
            ConstCounter::new(count).encode(family.encode_family(&[("link", link)])?)?;
        }
        let meaning = "Requests that were refused for their ids, by reason";
        let mut family = encoder.encode_descriptor("workflow_refused", meaning, None, MetricType::Counter)?;
        for reason in Refused::ALL {
            let count = ConstCounter::new(counters.refused(*reason));
            count.encode(family.encode_family(&[("reason", reason.as_str())])?)?;
        }
        let meaning = "Ids that were not known here, and that the site's other agents were asked for";
        let mut family = encoder.encode_descriptor("workflow_asked", meaning, None, MetricType::Counter)?;
        for outcome in Asked::ALL {
            let count = ConstCounter::new(counters.asked(*outcome));
            count.encode(family.encode_family(&[("outcome", outcome.as_str())])?)?;
        }
        let meaning = "Ids that another agent of the site did not acknowledge in time";
        let missed = encoder.encode_descriptor("workflow_unacknowledged", meaning, None, MetricType::Counter)?;
        ConstCounter::new(counters.missed()).encode(missed)
    }
}

/// Credentials: where they are from, and what came of those of other sites.
#[derive(Debug)]
pub struct ForeignTokens(pub Arc<Tokens>);

impl Collector for ForeignTokens {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let meaning = "Credentials whose home is known";
        let family = encoder.encode_descriptor("token_homes", meaning, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(self.0.homes.len()).unwrap_or(i64::MAX)).encode(family)?;
        let meaning = "Checks of credentials of other sites that this site's issuer doesn't know, by outcome";
        let mut family = encoder.encode_descriptor("token_checks", meaning, None, MetricType::Counter)?;
        for outcome in Outcome::ALL {
            let count = ConstCounter::new(self.0.counters.of(*outcome));
            count.encode(family.encode_family(&[("outcome", outcome.as_str())])?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls")
    }
}

impl Collector for Kernel {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Capture::Ebpf(interceptor) = &self.0 else { return Ok(()) };
        let counters = match interceptor.counters() {
            Ok(counters) => counters,
            Err(error) => {
                tracing::warn!(%error, "the kernel programs' counters can't be read");
                return Ok(());
            }
        };
        let mut family = encoder.encode_descriptor(
            "kernel",
            "Connections that the kernel programs saw",
            None,
            MetricType::Counter,
        )?;
        for (hook, reason, count) in counters {
            ConstCounter::new(count).encode(family.encode_family(&[("hook", hook), ("reason", reason)])?)?;
        }
        Ok(())
    }
}

const STATES: [(PeerState, &str); 4] = [
    (PeerState::Alive, "up"),
    (PeerState::Suspect, "suspect"),
    (PeerState::Unknown, "unknown"),
    (PeerState::Dead, "down"),
];

/// So many other sites have figures of their own; of more, as many of those that are probed.
const MOST_SHOWN: usize = 96;

/// Which sites have figures of their own.
fn shown(names: Vec<&SiteName>, probed: impl FnOnce() -> BTreeSet<SiteName>) -> Vec<&SiteName> {
    if names.len() <= MOST_SHOWN {
        return names;
    }
    let probed = probed();
    names.into_iter().filter(|name| probed.contains(*name)).take(MOST_SHOWN).collect()
}

impl Collector for Links {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "peer_events",
            "What happened on the links to other agents",
            None,
            MetricType::Counter,
        )?;
        for count in Count::ALL {
            let number = ConstCounter::new(self.peers.counters.get(*count));
            number.encode(family.encode_family(&[("event", count.as_str())])?)?;
        }
        let snapshot = self.shared.snapshot.load_full();
        let names: Vec<&SiteName> = snapshot.sites.values().filter(|site| !site.own).map(|site| &site.name).collect();
        let distances = self.peers.liveness.distances();
        let mut family =
            encoder.encode_descriptor("peer_sites", "Other sites, by how they stand", None, MetricType::Gauge)?;
        for (state, word) in STATES {
            let count = names.iter().filter(|name| distances.state(name) == state).count();
            ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
                .encode(family.encode_family(&[("state", word)])?)?;
        }
        let shown = shown(names, || self.peers.liveness.peers().into_iter().map(|(site, _, _)| site).collect());
        let others = || shown.iter().map(|name| (name.as_str(), self.peers.liveness.site(name)));
        let mut family =
            encoder.encode_descriptor("peer_up", "Whether another site's agent answers", None, MetricType::Gauge)?;
        for (site, status) in others() {
            let up = ConstGauge::new(i64::from(status.state == PeerState::Alive));
            up.encode(family.encode_family(&[("site", site)])?)?;
        }
        let others: Vec<_> = others().collect();
        for (name, meaning, value) in [
            ("peer_rtt_seconds", "Usual round trip to another site's agent", (|known| seconds(known.rtt)) as Figure),
            ("peer_rtt_min_seconds", "Least round trip of the last seconds: the distance", |known| {
                seconds(known.rtt_min)
            }),
            ("peer_jitter_seconds", "How much a round trip differs from the one before", |known| seconds(known.jitter)),
            ("peer_loss_ratio", "Part of the probes without an answer", |known| known.loss),
            ("peer_age_seconds", "Since another site's agent last answered", |known| seconds(known.age)),
            ("peer_one_way", "Whether only one direction works", |known| {
                Some(if known.one_way().is_some() { 1.0 } else { 0.0 })
            }),
        ] {
            let mut family = encoder.encode_descriptor(name, meaning, None, MetricType::Gauge)?;
            for (site, status) in &others {
                if let Some(value) = value(status) {
                    ConstGauge::new(value).encode(family.encode_family(&[("site", *site)])?)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kernel")
    }
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exec")
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links")
    }
}

/// The copy of what sites keep together.
pub struct Metadata(pub Arc<Agent>);

impl Collector for Metadata {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let facts = self.0.metadata.facts();
        let refused = facts.refused + self.0.known().refused.len();
        let count = |number: usize| u32::try_from(number).map_or(f64::from(u32::MAX), f64::from);
        let left_out = u32::try_from(facts.left_out).map_or(f64::from(u32::MAX), f64::from);
        let flag = |holds: bool| f64::from(u8::from(holds));
        for (name, meaning, value) in [
            ("metadata_up", "Whether what is written is kept by the backend now", Some(flag(facts.up()))),
            ("metadata_kept", "Whether the copy outlives this agent", Some(flag(facts.trouble.is_none()))),
            ("metadata_age_seconds", "Since the backend last gave a sign of life", seconds(facts.age)),
            ("metadata_records", "Records that are known", Some(count(facts.records))),
            ("metadata_pending", "Writes that wait for the backend", Some(count(facts.pending))),
            ("metadata_denied", "Waiting writes that the backend refuses", Some(count(facts.denied.len()))),
            ("metadata_left_out", "Records that are too much to be taken", Some(left_out)),
            ("metadata_refused", "Records and announced endpoints that aren't believed", Some(count(refused))),
            ("metadata_stale", "Records from before the cluster was wiped or restored", Some(count(facts.stale))),
        ] {
            if let Some(value) = value {
                let gauge = encoder.encode_descriptor(name, meaning, None, MetricType::Gauge)?;
                ConstGauge::new(value).encode(gauge)?;
            }
        }
        let meaning = "How often the backend was reached anew";
        let connects = encoder.encode_descriptor("metadata_connects", meaning, None, MetricType::Counter)?;
        ConstCounter::new(facts.connects).encode(connects)
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metadata")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_sites_have_no_thousand_labels() {
        let all: Vec<SiteName> = (0..1000).map(|number| format!("S{number:03}").into()).collect();
        let names = || all.iter().collect::<Vec<_>>();
        let some = |count: usize| all.iter().take(count).cloned().collect::<BTreeSet<_>>();
        assert_eq!(shown(names(), || some(24)).len(), 24);
        assert_eq!(shown(names(), || some(1000)).len(), MOST_SHOWN);
        let few: Vec<&SiteName> = all.iter().take(MOST_SHOWN).collect();
        assert_eq!(shown(few, BTreeSet::new).len(), MOST_SHOWN, "few have figures, probed or not");
    }
}
