//! How answers are printed.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    /// The table with more columns
    Wide,
    Json,
    Yaml,
    /// Names only, one a line
    Name,
}

/// Prints in the format that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub format: Format,
    colour: bool,
}

/// A table's rows; columns after `narrow` show only in the wide format. The first column is the name.
#[derive(Debug)]
pub struct Rows {
    pub header: &'static [&'static str],
    pub narrow: usize,
    pub rows: Vec<Vec<String>>,
}

impl Output {
    /// Colours only for a terminal, and never with `NO_COLOR` (no-color.org).
    pub fn new(format: Format) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { format, colour: io::stdout().is_terminal() && !no_colour }
    }

    /// Prints the agent's document: as it is for machines, else `text` for people, or the rows' names.
    ///
    /// # Errors
    /// When standard output can't be written.
    pub fn print(&self, document: &Value, rows: &Rows, text: impl FnOnce() -> String) -> io::Result<()> {
        let out = match self.format {
            Format::Json => serde_json::to_string_pretty(document).map_err(io::Error::other)?,
            Format::Yaml => serde_saphyr::to_string(document).map_err(io::Error::other)?,
            Format::Name => rows.rows.iter().filter_map(|row| row.first()).cloned().collect::<Vec<_>>().join("\n"),
            Format::Table | Format::Wide => text(),
        };
        let out = out.trim_end();
        if out.is_empty() { Ok(()) } else { writeln!(io::stdout().lock(), "{out}") }
    }

    /// Prints a document whose text is only its table.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub fn rows(&self, document: &Value, rows: &Rows) -> io::Result<()> {
        self.print(document, rows, || self.table(rows))
    }

    /// The table as text.
    pub fn table(&self, rows: &Rows) -> String {
        let columns = if self.format == Format::Wide { rows.header.len() } else { rows.narrow };
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(rows.header.iter().take(columns));
        for row in &rows.rows {
            table.add_row(row.iter().take(columns));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines = table.to_string();
        lines.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    /// A word in the colour of its meaning.
    pub fn good(&self, word: &str) -> String {
        self.paint("32", word)
    }

    /// See [`Output::good`].
    pub fn doubtful(&self, word: &str) -> String {
        self.paint("33", word)
    }

    /// See [`Output::good`].
    pub fn bad(&self, word: &str) -> String {
        self.paint("31", word)
    }

    fn paint(&self, code: &str, word: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() }
    }
}

/// Text of a field, or `-`.
pub fn field(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) if text.is_empty() => "-".into(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".into(),
        Some(Value::Bool(false)) => "no".into(),
        Some(Value::Array(items)) if items.is_empty() => "-".into(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(","),
        Some(other) => other.to_string(),
    }
}

/// The elements of a field that is a list.
pub fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Milliseconds for people.
pub fn milliseconds(value: &Value, name: &str) -> String {
    match value.get(name).and_then(Value::as_f64) {
        Some(ms) if ms < 10.0 => format!("{ms:.1}ms"),
        Some(ms) => format!("{ms:.0}ms"),
        None => "-".into(),
    }
}

/// A part of one, in percent.
pub fn percent(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_f64).map_or_else(|| "-".into(), |part| format!("{:.0}%", part * 100.0))
}

/// Seconds for people.
pub fn seconds(value: &Value, name: &str) -> String {
    match value.get(name).and_then(Value::as_f64) {
        Some(seconds) if seconds < 120.0 => format!("{seconds:.0}s"),
        Some(seconds) if seconds < 7200.0 => format!("{:.0}m", seconds / 60.0),
        Some(seconds) => format!("{:.0}h", seconds / 3600.0),
        None => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_tables_have_more_columns() {
        let rows = Rows {
            header: &["NAME", "STATE", "PEERS"],
            narrow: 2,
            rows: vec![vec!["Berlin".into(), "up".into(), "a:1".into()]],
        };
        let table = Output { format: Format::Table, colour: false }.table(&rows);
        assert_eq!(table, "NAME    STATE\nBerlin  up");
        let wide = Output { format: Format::Wide, colour: false }.table(&rows);
        assert_eq!(wide, "NAME    STATE  PEERS\nBerlin  up     a:1");
    }

    #[test]
    fn fields_are_printed_for_people() {
        let value = serde_json::json!({"a": null, "b": ["x", "y"], "c": true, "d": 1.25, "e": ""});
        assert_eq!(["a", "b", "c", "e", "f"].map(|name| field(&value, name)), ["-", "x,y", "yes", "-", "-"]);
        assert_eq!(milliseconds(&value, "d"), "1.2ms");
    }
}
