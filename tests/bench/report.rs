//! What was measured, as a table for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::wrk::Sample;

/// One way of reaching the service, over that many connections: a sample a round.
#[derive(Debug, Serialize)]
pub struct Row {
    pub path: &'static str,
    pub connections: u32,
    pub samples: Vec<Sample>,
}

/// One comparison. The first path is what the others are compared with.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub title: &'static str,
    pub rows: Vec<Row>,
}

/// The smallest, the middle and the greatest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        Self { min: at(0), median: (at(last / 2) + at(last.div_ceil(2))) / 2.0, max: at(last) }
    }
}

impl Comparison {
    pub fn new(title: &'static str) -> Self {
        Self { title, rows: Vec::new() }
    }

    pub fn add(&mut self, path: &'static str, connections: u32, sample: Sample) {
        let found = self.rows.iter_mut().find(|row| row.path == path && row.connections == connections);
        match found {
            Some(row) => row.samples.push(sample),
            None => self.rows.push(Row { path, connections, samples: vec![sample] }),
        }
    }

    /// A Markdown table. Ratios are those within each round, so that what slows the machine down slows both.
    pub fn table(&self) -> String {
        let mut table = format!("### {}\n\n", self.title);
        table.push_str("| connections | path | req/s | of the first (min / median / max) | p50 µs | times the first | p99 µs | times the first |\n");
        table.push_str("|--:|---|--:|---|--:|---|--:|---|\n");
        let mut first: BTreeMap<u32, &Row> = BTreeMap::new();
        for row in &self.rows {
            let base = *first.entry(row.connections).or_insert(row);
            let middle = |value: fn(&Sample) -> f64| Spread::of(row.samples.iter().map(value)).median;
            let ratio = |value: fn(&Sample) -> f64| {
                let pairs = row.samples.iter().zip(&base.samples);
                Spread::of(pairs.map(|(one, other)| value(one) / value(other)))
            };
            let p50 = |sample: &Sample| sample.p50 as f64;
            let p99 = |sample: &Sample| sample.p99 as f64;
            _ = writeln!(
                table,
                "| {} | {} | {:.0} | {} | {:.0} | {} | {:.0} | {} |",
                row.connections,
                row.path,
                middle(Sample::rate),
                percent(ratio(Sample::rate)),
                middle(p50),
                times(ratio(p50)),
                middle(p99),
                times(ratio(p99)),
            );
        }
        table
    }
}

fn percent(spread: Spread) -> String {
    format!("{:.0} / {:.0} / {:.0} %", spread.min * 100.0, spread.median * 100.0, spread.max * 100.0)
}

fn times(spread: Spread) -> String {
    format!("{:.2} / {:.2} / {:.2}", spread.min, spread.median, spread.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]), Spread { min: 1.0, median: 2.5, max: 4.0 });
    }

    #[test]
    fn ratios_are_within_a_round() {
        let sample = |requests| Sample { requests, micros: 1_000_000, p50: 10, p99: 20, bad: 0 };
        let mut comparison = Comparison::new("t");
        for (direct, agent) in [(100, 50), (200, 150)] {
            comparison.add("direct", 1, sample(direct));
            comparison.add("agent", 1, sample(agent));
        }
        let table = comparison.table();
        assert!(table.contains("| 1 | agent | 100 | 50 / 62 / 75 % |"), "{table}");
    }
}
