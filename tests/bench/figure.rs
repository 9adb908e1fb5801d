//! What is measured, and the smallest, middle and greatest of it.

use std::collections::BTreeMap;

use serde::Serialize;

/// A figure of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// Requests a second.
    Rate,
    /// MiB a second.
    Mib,
    /// Microseconds that half of the requests took at most.
    P50,
    /// Microseconds that 99 % of the requests took at most.
    P99,
    /// Microseconds of processor time of the proxies, a request or MiB.
    ProxyCpu,
    /// Microseconds of processor time of client, proxies, service and the network between sites, a request or MiB.
    AllCpu,
    /// MiB of memory of the proxies: the peak while it was measured.
    Rss,
    /// MiB of memory of the proxy after its start.
    RssBefore,
    /// Bytes of memory of the proxy for each idle connection.
    PerConnection,
    /// What others did meanwhile: percent of the machine.
    Foreign,
}

impl Figure {
    /// A column's head.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rate => "req/s",
            Self::Mib => "MiB/s",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::ProxyCpu => "proxy CPU µs",
            Self::AllCpu => "CPU µs in all",
            Self::Rss => "RSS MiB",
            Self::RssBefore => "RSS before MiB",
            Self::PerConnection => "bytes/connection",
            Self::Foreign => "foreign CPU %",
        }
    }

    /// Whether another system's makes a sensible ratio.
    pub fn compares(self) -> bool {
        !matches!(self, Self::RssBefore | Self::Foreign)
    }
}

/// One measurement.
pub type Sample = BTreeMap<Figure, f64>;

/// The smallest, the middle and the greatest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    /// Nothing without numbers.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |index: usize| sorted.get(index).copied();
        Some(Self { min: at(0)?, median: (at(last / 2)? + at(last.div_ceil(2))?) / 2.0, max: at(last)? })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median >= 100.0 { 0 } else { 1 + usize::from(self.median < 10.0) };
        write!(f, "{:.digits$} / {:.digits$} / {:.digits$}", self.min, self.median, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn digits_follow_the_size() {
        let shown = |median: f64| Spread { min: median, median, max: median }.to_string();
        assert_eq!(shown(1.234), "1.23 / 1.23 / 1.23");
        assert_eq!(shown(12.34), "12.3 / 12.3 / 12.3");
        assert_eq!(shown(1234.5), "1234 / 1234 / 1234");
    }
}
