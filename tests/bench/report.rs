//! What was measured, as tables for people and as JSON for programs.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;

use crate::figure::{Figure, Sample, Spread};
use crate::system::System;

/// One system's measurements, one a round.
#[derive(Debug, Serialize)]
pub struct Row {
    pub system: System,
    pub samples: Vec<(u32, Sample)>,
}

/// One comparison: everything in it was measured in the same rounds.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub title: String,
    /// What it is for [`crate::targets`].
    pub load: String,
    pub rows: Vec<Row>,
}

impl Comparison {
    pub fn new(load: String, title: String) -> Self {
        Self { title, load, rows: Vec::new() }
    }

    pub fn add(&mut self, system: System, round: u32, sample: Sample) {
        match self.rows.iter_mut().find(|row| row.system == system) {
            Some(row) => row.samples.push((round, sample)),
            None => self.rows.push(Row { system, samples: vec![(round, sample)] }),
        }
        self.rows.sort_by_key(|row| row.system);
    }

    /// A figure of a system.
    pub fn spread(&self, system: System, figure: Figure) -> Option<Spread> {
        let row = self.rows.iter().find(|row| row.system == system)?;
        Spread::of(row.samples.iter().filter_map(|(_, sample)| sample.get(&figure)).copied())
    }

    /// A system's figure by another's of the same round, so that what slows the machine down slows both.
    pub fn ratio(&self, system: System, base: System, figure: Figure) -> Option<Spread> {
        let find = |wanted| self.rows.iter().find(|row| row.system == wanted);
        let (row, base) = (find(system)?, find(base)?);
        Spread::of(row.samples.iter().filter_map(|(round, sample)| {
            let (_, other) = base.samples.iter().find(|(other, _)| other == round)?;
            Some(sample.get(&figure)? / other.get(&figure)?)
        }))
    }

    /// Markdown tables: the figures, then the ratios to the service itself and to the first proxy that is no agent.
    pub fn tables(&self) -> String {
        let mut text = format!("### {}\n\n", self.title);
        self.table(&mut text, "", |_| true, |system, figure| self.spread(system, figure));
        let others = [System::Direct, System::Nginx, System::Haproxy];
        let bases = others.into_iter().filter(|base| self.rows.iter().any(|row| row.system == *base));
        for base in bases.take(2) {
            let prefix = format!("× {}: ", base.name());
            self.table(&mut text, &prefix, Figure::compares, |system, figure| {
                (system != base).then(|| self.ratio(system, base, figure)).flatten()
            });
        }
        text
    }

    fn table(
        &self,
        text: &mut String,
        prefix: &str,
        wanted: impl Fn(Figure) -> bool,
        value: impl Fn(System, Figure) -> Option<Spread>,
    ) {
        let samples = self.rows.iter().flat_map(|row| &row.samples);
        let figures: BTreeSet<Figure> = samples.flat_map(|(_, sample)| sample.keys()).copied().collect();
        let lines: Vec<(System, Vec<Option<Spread>>)> = self
            .rows
            .iter()
            .map(|row| (row.system, figures.iter().filter(|f| wanted(**f)).map(|f| value(row.system, *f)).collect()))
            .filter(|(_, cells): &(System, Vec<Option<Spread>>)| cells.iter().any(Option::is_some))
            .collect();
        if lines.is_empty() {
            return;
        }
        let titles: Vec<String> =
            figures.iter().filter(|f| wanted(**f)).map(|f| format!("{prefix}{}", f.title())).collect();
        _ = writeln!(text, "| system | {} |\n|---{}|", titles.join(" | "), "|---".repeat(titles.len()));
        for (system, cells) in lines {
            let cells: Vec<String> =
                cells.iter().map(|cell| cell.map_or_else(|| "–".to_owned(), |spread| spread.to_string())).collect();
            _ = writeln!(text, "| {} | {} |", system.name(), cells.join(" | "));
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison() -> Comparison {
        let mut comparison = Comparison::new("t".into(), "T".into());
        for (round, direct, agent) in [(1, 100.0, 50.0), (2, 200.0, 150.0)] {
            comparison.add(System::Agent, round, Sample::from([(Figure::Rate, agent), (Figure::Foreign, 1.0)]));
            comparison.add(System::Direct, round, Sample::from([(Figure::Rate, direct), (Figure::Foreign, 1.0)]));
        }
        comparison
    }

    #[test]
    fn ratios_are_within_a_round() {
        let ratio = comparison().ratio(System::Agent, System::Direct, Figure::Rate);
        assert_eq!(ratio, Some(Spread { min: 0.5, median: 0.625, max: 0.75 }));
        assert_eq!(comparison().ratio(System::Agent, System::Nginx, Figure::Rate), None);
    }

    #[test]
    fn a_round_that_one_of_both_lacks_has_no_ratio() {
        let mut comparison = comparison();
        comparison.add(System::Agent, 3, Sample::from([(Figure::Rate, 9000.0)]));
        let ratio = comparison.ratio(System::Agent, System::Direct, Figure::Rate);
        assert_eq!(ratio.map(|ratio| ratio.max), Some(0.75));
    }

    #[test]
    fn the_tables_show_figures_and_ratios() {
        let tables = comparison().tables();
        assert!(tables.contains("| agent | 50 / 100 / 150 | 1.00 / 1.00 / 1.00 |"), "{tables}");
        assert!(tables.contains("| system | × direct: req/s |\n|---|---|\n| agent | 0.50 / 0.62 / 0.75 |"), "{tables}");
        assert!(!tables.contains("| direct | –"), "{tables}");
    }
}
