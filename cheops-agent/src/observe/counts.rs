//! One service's unscoped requests, counted without a lock and without making a label.

use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;

use super::metrics::{Metrics, RequestLabels};

/// The outcomes that have no code of the agent's own.
const OUTCOMES: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other", "aborted"];

/// The counters of one service's requests that went on as they came. Each is made when it is first needed, so that
/// `/metrics` shows no outcome that never was.
#[derive(Debug)]
pub struct Counts {
    service: String,
    metrics: Metrics,
    outcomes: [OnceLock<Counter>; OUTCOMES.len()],
}

impl Counts {
    pub(super) fn new(service: &str, metrics: &Metrics) -> Self {
        Self { service: service.to_owned(), metrics: metrics.clone(), outcomes: Default::default() }
    }

    /// The name that is shown, or `-`.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Counts a request whose client got `status`; nothing when the connection ended before.
    pub(super) fn add(&self, status: Option<u16>) {
        let outcome = match status {
            Some(status @ 100..=599) => usize::from(status / 100) - 1,
            Some(_) => 5,
            None => 6,
        };
        if let (Some(counter), Some(outcome)) = (self.outcomes.get(outcome), OUTCOMES.get(outcome)) {
            counter.get_or_init(|| self.counter(outcome)).inc();
        }
    }

    fn counter(&self, outcome: &'static str) -> Counter {
        let labels = RequestLabels { service: self.service.clone(), plan: "direct", outcome };
        self.metrics.requests.get_or_create(&labels).clone()
    }
}
