//! `cheops check`: graded checks with remedies.

mod catalog;
pub mod preflight;

use clap::Args;
use serde_json::{Value, json};

use super::output::{Output, Rows, field, items};
use super::{Context, Exit};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Looks whether this host will do, before any agent runs
    #[arg(long)]
    pre: bool,
    /// The configuration that --pre looks at, if it is there
    #[arg(long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    config: std::path::PathBuf,
    #[command(flatten)]
    catalog: catalog::CatalogArguments,
}

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    let mut document = if arguments.pre {
        let checks = preflight::checks(&arguments.config);
        json!({ "apiVersion": crate::admin::API_VERSION, "kind": "Checks", "checks": checks })
    } else {
        context.client.get("/v1/check")?
    };
    let configured = || {
        if arguments.pre {
            return Ok(catalog::Configured::of_file(&arguments.config));
        }
        let (status, services) = (context.client.get("/v1/status")?, context.client.get("/v1/services")?);
        Ok(Some(catalog::Configured::of_agent(&status, &services)))
    };
    let compared = catalog::checks(&arguments.catalog, configured)?;
    if let Some(checks) = document.get_mut("checks").and_then(Value::as_array_mut) {
        for check in compared {
            checks.push(serde_json::to_value(check)?);
        }
    }
    let checks = items(&document, "checks");
    let rows = Rows {
        header: &["CHECK", "GRADE", "FOUND", "REMEDY"],
        narrow: 4,
        rows: checks
            .iter()
            .map(|check| ["name", "grade", "found", "remedy"].map(|name| field(check, name)).to_vec())
            .collect(),
    };
    context.output.print(&document, &rows, || text(checks, context.output))?;
    let failed = checks.iter().any(|check| field(check, "grade") == "fail");
    Ok(if failed { Exit::No } else { Exit::Yes })
}

/// One line a check, and its remedy below where there is one.
pub fn text(checks: &[Value], output: Output) -> String {
    let mut lines = Vec::new();
    for check in checks {
        let grade = match field(check, "grade").as_str() {
            "ok" => output.good("ok  "),
            "warn" => output.doubtful("warn"),
            _ => output.bad("FAIL"),
        };
        lines.push(format!("{grade}  {:<24} {}", field(check, "name"), field(check, "found")));
        let remedy = field(check, "remedy");
        if remedy != "-" {
            lines.push(format!("      → {remedy}"));
        }
    }
    lines.join("\n")
}
