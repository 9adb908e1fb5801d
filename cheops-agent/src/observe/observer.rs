//! What the data path tells, and where it goes: counters, watchers, the access log.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::broadcast;

use super::counters::{Limit, Passthrough, Refused};
use super::counts::Counts;
use super::metrics::{
    DirectionLabels, LimitLabels, Metrics, ProbeLabels, ReasonLabels, RequestLabels, ServiceLabels, SiteLabels,
};
use super::tap::{TAP_DEPTH, Tap};
use super::{RequestEvent, access_log};
use crate::names::SiteName;

/// Counts what happens and shows it to whoever asks. One per agent, shared by `Arc`.
pub struct Observer {
    metrics: Metrics,
    registry: Mutex<Registry>,
    /// By the service's name.
    counts: Mutex<HashMap<String, Arc<Counts>>>,
    /// Bytes of bodies and tunnels, from and to clients.
    bytes: [Counter; 2],
    taps: broadcast::Sender<Arc<RequestEvent>>,
}

/// What the counters need of a finished request.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// A configured name, or `-`.
    pub service: &'a str,
    /// Whether a scope decided about it.
    pub scoped: bool,
    /// `direct`, `at`, `first-of`, `refused`.
    pub plan: &'static str,
    /// The status that the client got; nothing when the connection ended before.
    pub status: Option<u16>,
    /// The stable code of an answer that the agent made itself.
    pub code: Option<&'static str>,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    pub took: Duration,
}

impl Observer {
    /// An observer with nothing counted.
    pub fn new() -> Arc<Self> {
        let metrics = Metrics::default();
        let mut registry = Registry::with_prefix("cheops");
        metrics.register(&mut registry);
        let bytes = ["from-client", "to-client"]
            .map(|direction| metrics.bytes.get_or_create(&DirectionLabels { direction }).clone());
        let (registry, counts, taps) = (Mutex::new(registry), Mutex::default(), broadcast::Sender::new(TAP_DEPTH));
        Arc::new(Self { metrics, registry, counts, bytes, taps })
    }

    /// A client's connection was accepted; it is open until the guard goes.
    pub fn connection(&self) -> OpenConnection {
        self.metrics.taken.inc();
        self.metrics.open.inc();
        OpenConnection(self.metrics.open.clone())
    }

    /// Client connections open now.
    pub fn connections_open(&self) -> u64 {
        u64::try_from(self.metrics.open.get()).unwrap_or_default()
    }

    /// Client connections accepted since the start.
    pub fn connections_taken(&self) -> u64 {
        self.metrics.taken.get()
    }

    /// A client's connection was reset before anything of it was served.
    pub fn refused(&self, reason: Refused) {
        self.metrics.refused.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc();
    }

    /// A connection's bytes are passed on as they are, until the guard goes.
    pub fn passthrough(&self, reason: Passthrough) -> OpenTunnel {
        self.metrics.passthrough.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc();
        self.metrics.tunnels.inc();
        OpenTunnel(self.metrics.tunnels.clone())
    }

    /// Tunnels open now.
    pub fn tunnels_open(&self) -> u64 {
        u64::try_from(self.metrics.tunnels.get()).unwrap_or_default()
    }

    /// Something ran into a configured limit.
    pub fn limit(&self, limit: Limit) {
        self.limits(limit, 1);
    }

    /// So many ran into a configured limit.
    pub fn limits(&self, limit: Limit, times: u64) {
        self.metrics.limits.get_or_create(&LimitLabels { limit: limit.as_str() }).inc_by(times);
    }

    /// Bytes of tunnels.
    pub fn tunnel_bytes(&self, from_client: u64, to_client: u64) {
        self.bytes(from_client, to_client);
    }

    fn bytes(&self, from_client: u64, to_client: u64) {
        let [from, to] = &self.bytes;
        from.inc_by(from_client);
        to.inc_by(to_client);
    }

    /// The counters of one service's unscoped requests, for [`passed`](Self::passed). `service` is a configured name, or
    /// `-`.
    pub fn counts(&self, service: &str) -> Arc<Counts> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = counts.get(service) {
            return counts.clone();
        }
        let new = Arc::new(Counts::new(service, &self.metrics));
        counts.insert(service.to_owned(), new.clone());
        new
    }

    /// A request that went on as it came is finished, and nobody watches: [`finished`](Self::finished) without labels.
    pub fn passed(&self, counts: &Counts, status: Option<u16>, bytes_in: u64, bytes_out: u64) {
        counts.add(status);
        self.bytes(bytes_in, bytes_out);
    }

    /// A request is finished. `event` is called only when somebody will see it: for scoped requests, which the access
    /// log shows, and while somebody taps.
    pub fn finished(&self, finished: Finished<'_>, event: impl FnOnce() -> RequestEvent) {
        let labels =
            RequestLabels { service: finished.service.to_owned(), plan: finished.plan, outcome: outcome(&finished) };
        self.metrics.requests.get_or_create(&labels).inc();
        self.bytes(finished.bytes_in, finished.bytes_out);
        if finished.scoped {
            let labels = ServiceLabels { service: labels.service };
            self.metrics.seconds.get_or_create(&labels).observe(finished.took.as_secs_f64());
        }
        let tapped = self.tapped();
        if !finished.scoped && !tapped {
            return;
        }
        let event = event();
        if finished.scoped {
            access_log::line(&event);
        }
        if tapped && self.taps.send(Arc::new(event)).is_err() {
            // The last watcher left meanwhile; nobody misses anything.
        }
    }

    /// Whether anybody watches live requests.
    pub fn tapped(&self) -> bool {
        self.taps.receiver_count() > 0
    }

    /// Watches live requests from now on.
    pub fn tap(&self) -> Tap {
        Tap::new(self.taps.subscribe())
    }

    /// A watcher was told that it missed events.
    pub fn tap_lost(&self, events: u64) {
        self.metrics.taps_lost.inc_by(events);
    }

    /// An exchange was served for an agent of `site`.
    pub fn peer_exchange(&self, site: &SiteName) {
        self.metrics.peer_exchanges.get_or_create(&SiteLabels { site: site.to_string() }).inc();
    }

    /// Whether the agent finishes its last exchanges.
    pub fn draining(&self, draining: bool) {
        self.metrics.draining.set(i64::from(draining));
    }

    /// Whether the agent is ready.
    pub fn ready(&self, ready: bool) {
        self.metrics.ready.set(i64::from(ready));
    }

    /// A self-probe came back, or didn't.
    pub fn probe(&self, seen: bool) {
        self.metrics.probes.get_or_create(&ProbeLabels { result: if seen { "ok" } else { "failed" } }).inc();
    }

    /// The configuration was read again.
    pub fn reloaded(&self, applied: bool) {
        self.metrics.reloads.get_or_create(&ProbeLabels { result: if applied { "ok" } else { "failed" } }).inc();
    }

    /// Adds figures that another room keeps, such as the kernel programs' counters.
    pub fn add_collector(&self, collector: Box<dyn Collector>) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register_collector(collector);
    }

    /// Everything in OpenMetrics text, as `/metrics` answers it.
    ///
    /// # Errors
    /// When an instrument can't be written as text, which is a defect.
    pub fn metrics_text(&self) -> Result<String, fmt::Error> {
        self.metrics.taps.set(i64::try_from(self.taps.receiver_count()).unwrap_or(i64::MAX));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(
            &mut text,
            &self.registry.lock().unwrap_or_else(PoisonError::into_inner),
        )?;
        Ok(text)
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

fn outcome(finished: &Finished<'_>) -> &'static str {
    match (finished.code, finished.status) {
        (Some(code), _) => code,
        (None, Some(100..=199)) => "1xx",
        (None, Some(200..=299)) => "2xx",
        (None, Some(300..=399)) => "3xx",
        (None, Some(400..=499)) => "4xx",
        (None, Some(500..=599)) => "5xx",
        (None, Some(_)) => "other",
        (None, None) => "aborted",
    }
}

/// Counts one client connection as open.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts one tunnel as open.
#[derive(Debug)]
pub struct OpenTunnel(Gauge);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tapped;
    use super::*;

    fn event(id: &str) -> RequestEvent {
        RequestEvent {
            id: id.into(),
            client: "127.0.0.1:1".into(),
            uid: None,
            service: "Glance".into(),
            method: "GET".into(),
            path: "/v2/images".into(),
            scope: None,
            scope_source: None,
            link: None,
            plan: "direct",
            sites: vec!["Berlin".into()],
            status: Some(200),
            code: None,
            bytes: 5,
            took: Duration::from_millis(3),
        }
    }

    fn finished(scoped: bool) -> Finished<'static> {
        Finished {
            service: "Glance",
            scoped,
            plan: "direct",
            status: Some(204),
            code: None,
            bytes_in: 1,
            bytes_out: 5,
            took: Duration::from_millis(3),
        }
    }

    #[test]
    fn an_untapped_unscoped_request_makes_no_event() {
        let observer = Observer::new();
        observer.finished(finished(false), || unreachable!("nobody looks"));
        let text = observer.metrics_text().expect("text");
        assert!(text.contains(r#"cheops_requests_total{service="Glance",plan="direct",outcome="2xx"} 1"#), "{text}");
        assert!(text.contains(r#"cheops_bytes_total{direction="to-client"} 5"#), "{text}");
    }

    #[tokio::test]
    async fn a_slow_watcher_is_told_what_it_lost() {
        let observer = Observer::new();
        let mut tap = observer.tap();
        for number in 0..TAP_DEPTH + 7 {
            observer.finished(finished(false), || event(&number.to_string()));
        }
        assert!(matches!(tap.next().await, Some(Tapped::Lost(7))));
        assert!(matches!(tap.next().await, Some(Tapped::Request(event)) if event.id == "7"));
    }

    #[test]
    fn guards_count_what_is_open() {
        let observer = Observer::new();
        let connection = observer.connection();
        let tunnel = observer.passthrough(Passthrough::Tls);
        assert_eq!((observer.connections_open(), observer.tunnels_open()), (1, 1));
        drop((connection, tunnel));
        assert_eq!((observer.connections_open(), observer.tunnels_open()), (0, 0));
        assert_eq!(observer.connections_taken(), 1);
    }
}
