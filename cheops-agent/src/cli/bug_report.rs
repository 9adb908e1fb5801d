//! `cheops bug-report`: one text file with everything that a report needs, and no secret.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::output::{Rows, field, items};
use super::{Context, Exit};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the report goes; - is standard output
    #[arg(long, short, value_name = "FILE", default_value = "cheops-bug-report.txt")]
    file: PathBuf,
}

/// What the agent is asked, in the order of the report.
const QUESTIONS: &[(&str, &str)] = &[
    ("status", "/v1/status"),
    ("sites", "/v1/sites"),
    ("services", "/v1/services"),
    ("checks", "/v1/check"),
    ("configuration", "/v1/config"),
];

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    let mut missing = 0;
    let mut report = String::new();
    section(&mut report, "versions", &versions());
    for (name, path) in QUESTIONS {
        let answer = context.client.get(path);
        missing += usize::from(answer.is_err());
        let text = match answer {
            Ok(answer) if *name == "configuration" => files(&answer),
            Ok(answer) => serde_json::to_string_pretty(&answer)?,
            Err(error) => format!("not to be had: {error}"),
        };
        section(&mut report, name, &text);
    }
    let metrics = context.client.text("/metrics");
    missing += usize::from(metrics.is_err());
    section(&mut report, "metrics", &metrics.unwrap_or_else(|error| format!("not to be had: {error}")));

    if arguments.file.as_os_str() == "-" {
        std::io::stdout().lock().write_all(report.as_bytes())?;
    } else {
        fs::write(&arguments.file, &report).with_context(|| format!("can't write {}", arguments.file.display()))?;
        let path = arguments.file.display().to_string();
        let document =
            json!({ "apiVersion": crate::admin::API_VERSION, "kind": "BugReport", "file": path, "missing": missing });
        let rows = Rows { header: &["FILE"], narrow: 1, rows: vec![vec![path.clone()]] };
        context.output.print(&document, &rows, || format!("{path} written; read it before you send it"))?;
    }
    Ok(if missing == 0 { Exit::Yes } else { Exit::Partial })
}

fn versions() -> String {
    let kernel = nix::sys::utsname::uname()
        .map(|names| format!("{} {}", names.release().to_string_lossy(), names.version().to_string_lossy()))
        .unwrap_or_default();
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("-").to_owned();
    format!("cheops {}\nkernel {kernel}\nsystem {system}", env!("CARGO_PKG_VERSION"))
}

fn files(answer: &Value) -> String {
    items(answer, "files")
        .iter()
        .map(|file| format!("--- {}\n{}", field(file, "path"), field(file, "text")))
        .collect::<Vec<_>>()
        .join("\n")
}

fn section(report: &mut String, name: &str, text: &str) {
    // Writing to a String can't fail.
    if writeln!(report, "===== {name} =====\n{}\n", text.trim_end()).is_err() {}
}
