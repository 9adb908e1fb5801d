//! The registry that `/metrics` prints: names, meanings, and labels with bounded values.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::counters::{Limit, Passthrough, Refused};

/// Of a finished request. `service` is a configured name, `plan` and `outcome` are closed lists.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    pub service: String,
    pub plan: &'static str,
    /// `2xx` …, or the code of an answer that the agent made itself.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ServiceLabels {
    pub service: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct DirectionLabels {
    /// `from-client` or `to-client`.
    pub direction: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabels {
    pub reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LimitLabels {
    pub limit: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SiteLabels {
    pub site: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct BuildLabels {
    pub version: &'static str,
}

type Reasons = Family<ReasonLabels, Counter>;

/// Every instrument. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub requests: Family<RequestLabels, Counter>,
    pub seconds: Family<ServiceLabels, Histogram, fn() -> Histogram>,
    pub taken: Counter,
    pub open: Gauge,
    pub tunnels: Gauge,
    pub refused: Reasons,
    pub passthrough: Reasons,
    pub limits: Family<LimitLabels, Counter>,
    pub bytes: Family<DirectionLabels, Counter>,
    pub peer_exchanges: Family<SiteLabels, Counter>,
    pub taps: Gauge,
    pub taps_lost: Counter,
    pub draining: Gauge,
    pub ready: Gauge,
    pub probes: Family<ProbeLabels, Counter>,
    pub reloads: Family<ProbeLabels, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ProbeLabels {
    /// `ok` or `failed`.
    pub result: &'static str,
}

/// From half a millisecond, a local exchange, to half a minute.
fn latency() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(latency as fn() -> Histogram),
            taken: Counter::default(),
            open: Gauge::default(),
            tunnels: Gauge::default(),
            refused: Family::default(),
            passthrough: Family::default(),
            limits: Family::default(),
            bytes: Family::default(),
            peer_exchanges: Family::default(),
            taps: Gauge::default(),
            taps_lost: Counter::default(),
            draining: Gauge::default(),
            ready: Gauge::default(),
            probes: Family::default(),
            reloads: Family::default(),
        }
    }
}

impl Metrics {
    /// Registers every instrument under the prefix `cheops`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry;
        r.register("requests", "Finished requests by service, plan and outcome", self.requests.clone());
        r.register(
            "request_duration_seconds",
            "From a request's first byte to its answer's last, scoped requests only",
            self.seconds.clone(),
        );
        r.register("connections_taken", "Client connections accepted", self.taken.clone());
        r.register("connections_open", "Client connections open now", self.open.clone());
        r.register("tunnels_open", "Connections passed through byte for byte now", self.tunnels.clone());
        r.register("connections_refused", "Client connections reset, by reason", self.refused.clone());
        r.register("passthrough", "Connections passed through, by reason", self.passthrough.clone());
        r.register("limits_hit", "Limits that something ran into", self.limits.clone());
        r.register("bytes", "Bytes of bodies and tunnels, by direction", self.bytes.clone());
        r.register("peer_exchanges", "Exchanges served for another site's agents", self.peer_exchanges.clone());
        r.register("taps_open", "Watchers of live requests now", self.taps.clone());
        r.register("tap_events_lost", "Live requests that slow watchers missed", self.taps_lost.clone());
        r.register("draining", "1 while the agent finishes its last exchanges", self.draining.clone());
        r.register("ready", "1 while the agent is ready", self.ready.clone());
        r.register("self_probes", "Connections through the redirect to itself, by result", self.probes.clone());
        r.register("reloads", "Reloads of the configuration, by result", self.reloads.clone());
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        r.register("build_info", "The agent's version", build);
        for reason in Refused::ALL {
            self.refused.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc_by(0);
        }
        for reason in Passthrough::ALL {
            self.passthrough.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc_by(0);
        }
        for limit in Limit::ALL {
            self.limits.get_or_create(&LimitLabels { limit: limit.as_str() }).inc_by(0);
        }
    }
}
