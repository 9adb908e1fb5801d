//! What an import did, and what it left out.

use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::State;
use crate::admin::API_VERSION;
use crate::cli::output::{Format, Output, Rows};

/// One service at one site.
pub struct Row {
    pub name: String,
    pub kind: String,
    pub site: String,
    pub urls: Vec<String>,
    pub state: State,
}

pub struct Report {
    file: String,
    dry_run: bool,
    pub rows: Vec<Row>,
    /// Site, what, why.
    left_out: Vec<[String; 3]>,
    pub warnings: Vec<String>,
    /// Sites whose catalog could not be read, and why.
    pub failed: Vec<[String; 2]>,
    pub written: bool,
    /// The drop-in's.
    pub text: String,
}

impl Report {
    pub fn new(file: &Path, dry_run: bool) -> Self {
        Self {
            file: file.display().to_string(),
            dry_run,
            rows: Vec::new(),
            left_out: Vec::new(),
            warnings: Vec::new(),
            failed: Vec::new(),
            written: false,
            text: String::new(),
        }
    }

    pub fn left(&mut self, site: &str, what: &str, why: String) {
        self.left_out.push([site.to_owned(), what.to_owned(), why]);
    }

    pub fn failed(&mut self, site: &str, error: &anyhow::Error) {
        self.failed.push([site.to_owned(), format!("{error:#}")]);
    }

    /// `on_output`: the drop-in itself is what is printed; what is told of it goes to standard error.
    pub fn print(&self, output: Output, on_output: bool) -> io::Result<()> {
        let rows = self.table();
        if on_output && matches!(output.format, Format::Table | Format::Wide) {
            writeln!(io::stderr().lock(), "{}", self.told(output, &rows))?;
            return if self.rows.is_empty() { Ok(()) } else { write!(io::stdout().lock(), "{}", self.text) };
        }
        let told = || [self.told(output, &rows), self.outcome()].join("\n");
        output.print(&self.document(), &rows, told)
    }

    fn table(&self) -> Rows {
        let row = |row: &Row| {
            let urls = if row.urls.is_empty() { "-".to_owned() } else { row.urls.join(",") };
            vec![row.name.clone(), row.kind.clone(), row.site.clone(), row.state.name().to_owned(), urls]
        };
        Rows {
            header: &["NAME", "TYPE", "SITE", "STATE", "ENDPOINTS"],
            narrow: 5,
            rows: self.rows.iter().map(row).collect(),
        }
    }

    fn document(&self) -> Value {
        let services: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({ "name": row.name, "type": row.kind, "site": row.site, "endpoints": row.urls,
                        "state": row.state.name() })
            })
            .collect();
        let left: Vec<Value> =
            self.left_out.iter().map(|[site, what, why]| json!({ "site": site, "what": what, "why": why })).collect();
        let failed: Vec<Value> = self.failed.iter().map(|[site, why]| json!({ "site": site, "why": why })).collect();
        json!({
            "apiVersion": API_VERSION,
            "kind": "ServicesImport",
            "file": self.file,
            "written": self.written,
            "services": services,
            "left-out": left,
            "warnings": self.warnings,
            "failed": failed,
            "text": self.text,
        })
    }

    fn told(&self, output: Output, rows: &Rows) -> String {
        let mut lines = Vec::new();
        if !self.rows.is_empty() {
            lines.push(output.table(rows));
        }
        lines.extend(self.left_out.iter().map(|[site, what, why]| format!("left out: {what} at {site}: {why}")));
        lines.extend(self.warnings.iter().map(|warning| format!("{}: {warning}", output.doubtful("warning"))));
        let failed = |[site, why]: &[String; 2]| format!("{}: {site}: {why}", output.bad("failed"));
        lines.extend(self.failed.iter().map(failed));
        lines.join("\n")
    }

    /// What became of the file.
    fn outcome(&self) -> String {
        let changes = self.rows.iter().any(|row| row.state != State::Same);
        match (self.written, self.dry_run, changes) {
            (true, ..) => format!("written: {}; systemctl reload cheops-agent takes it up", self.file),
            (false, true, true) => format!("nothing was written; {} would be:\n\n{}", self.file, self.text),
            (false, _, false) if self.failed.is_empty() => format!("{} is as it was", self.file),
            _ => "nothing was written".to_owned(),
        }
    }
}
