//! What the agent is meant to reach, and whether it did. Medians of this run.
//!
//! # Where a new connection's time goes
//!
//! nginx sends a new client's request over a connection that it has kept; the agent dials one for each client's, since
//! the service shall see the client's own address, may speak first, and shall notice each close. So it does what nginx
//! does, and a connection's whole life besides. Processor time (`perf record -e cpu-clock`, 10,000 connections one after
//! the other), in hundredths of what nginx takes for such a request:
//!
//! | step | agent | nginx |
//! |---|---|---|
//! | sleeping and waking (`epoll_wait`: 2.6 times, 3.5 times) | 21 | 25 |
//! | `accept4`, both ends' addresses, `epoll_ctl`, options | 12 | 7 |
//! | reading the request, the answer and the ends | 6 | 3 |
//! | writing the request and the answer, each with all of TCP on `lo` behind it | 20 | 28 |
//! | closing the client's connection | 21 | 21 |
//! | outside the kernel | 42 | 14 |
//! | the service's: `socket`, options, the client announced (`bpf`), `epoll_ctl`, `poll` | 15 | – |
//! | `connect`: the handshake of both ends, the service woken; a tenth of it the kernel programs | 31 | – |
//! | ending it: `shutdown`, and `close` once the service has closed | 35 | – |
//!
//! The last three are what its pool spares nginx. The request leaves in the same wake-up in which its client was
//! accepted, as a service of the same host has accepted before `connect` returns; what is left to do about connections
//! that have ended comes after it.

use serde::Serialize;

use crate::figure::{Figure, Spread};
use crate::report::Comparison;
use crate::system::System;

struct Target {
    says: &'static str,
    load: &'static str,
    figure: Figure,
    /// What the agent's figure is divided by; nothing: the figure itself counts.
    base: Option<System>,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

use Bound::{AtLeast, AtMost, Below};

const fn target(says: &'static str, load: &'static str, figure: Figure, base: Option<System>, bound: Bound) -> Target {
    Target { says, load, figure, base, bound }
}

const NGINX: Option<System> = Some(System::Nginx);

const TARGETS: &[Target] = &[
    target("64 connections: req/s ≥ 1.15 × nginx's", "unscoped-64", Figure::Rate, NGINX, AtLeast(1.15)),
    target(
        "64 connections: req/s ≥ 2 × HAProxy+Lua's",
        "unscoped-64",
        Figure::Rate,
        Some(System::HaproxyLua),
        AtLeast(2.0),
    ),
    target("64 connections: proxy CPU a request ≤ 0.7 × nginx's", "unscoped-64", Figure::ProxyCpu, NGINX, AtMost(0.7)),
    target("64 connections: RSS < 20 MiB", "unscoped-64", Figure::Rss, None, Below(20.0)),
    target("64 connections: p99 ≤ nginx's", "unscoped-64", Figure::P99, NGINX, AtMost(1.0)),
    target("1 GiB upload: MiB/s ≥ 1.3 × nginx's", "upload", Figure::Mib, NGINX, AtLeast(1.3)),
    target("new connection: p50 ≤ nginx's", "connections", Figure::P50, NGINX, AtMost(1.0)),
    target("new connection: p99 ≤ nginx's", "connections", Figure::P99, NGINX, AtMost(1.0)),
    target("idle connection: ≤ 8 KiB", "idle", Figure::PerConnection, None, AtMost(8192.0)),
];

/// A target and what was found.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub target: &'static str,
    pub found: Option<Spread>,
    pub reached: Option<bool>,
}

/// All targets; those that this run didn't measure have no figure.
pub fn outcomes(comparisons: &[Comparison]) -> Vec<Outcome> {
    TARGETS
        .iter()
        .map(|target| {
            let comparison = comparisons.iter().find(|comparison| comparison.load == target.load);
            let found = comparison.and_then(|comparison| match target.base {
                Some(base) => comparison.ratio(System::Agent, base, target.figure),
                None => comparison.spread(System::Agent, target.figure),
            });
            let reached = found.map(|found| match target.bound {
                AtLeast(bound) => found.median >= bound,
                AtMost(bound) => found.median <= bound,
                Below(bound) => found.median < bound,
            });
            Outcome { target: target.says, found, reached }
        })
        .collect()
}

/// The section of the report.
pub fn table(outcomes: &[Outcome]) -> String {
    let lines = outcomes.iter().map(|outcome| {
        let found = outcome.found.map_or_else(|| "–".to_owned(), |found| found.to_string());
        let reached = match outcome.reached {
            Some(true) => "reached",
            Some(false) => "NOT reached",
            None => "not measured",
        };
        format!("| {} | {found} | {reached} |\n", outcome.target)
    });
    format!(
        "### Targets\n\n| target | min / median / max | the median |\n|---|---|---|\n{}\n",
        lines.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Sample;

    #[test]
    fn a_median_decides() {
        let mut comparison = Comparison::new("unscoped-64".into(), String::new());
        for (round, agent, nginx) in [(1, 120.0, 100.0), (2, 100.0, 100.0), (3, 116.0, 100.0)] {
            comparison.add(System::Agent, round, Sample::from([(Figure::Rate, agent), (Figure::Rss, 20.0)]));
            comparison.add(System::Nginx, round, Sample::from([(Figure::Rate, nginx)]));
        }
        let text = table(&outcomes(&[comparison]));
        assert!(text.contains("≥ 1.15 × nginx's | 1.00 / 1.16 / 1.20 | reached |"), "{text}");
        assert!(text.contains("RSS < 20 MiB | 20.0 / 20.0 / 20.0 | NOT reached |"), "{text}");
        assert!(text.contains("1 GiB upload: MiB/s ≥ 1.3 × nginx's | – | not measured |"), "{text}");
    }

    #[test]
    fn a_lower_figure_is_the_better_one_of_a_cost() {
        let mut comparison = Comparison::new("unscoped-64".into(), String::new());
        comparison.add(System::Agent, 1, Sample::from([(Figure::ProxyCpu, 8.0)]));
        comparison.add(System::Nginx, 1, Sample::from([(Figure::ProxyCpu, 10.0)]));
        assert!(table(&outcomes(&[comparison])).contains("0.7 × nginx's | 0.80 / 0.80 / 0.80 | NOT reached |"));
    }
}
