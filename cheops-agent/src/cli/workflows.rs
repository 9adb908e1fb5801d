//! `cheops workflows`: the scoped requests whose calls are found, and these calls.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::output::{Rows, field, items, seconds};
use super::{Context, Exit};

/// With `--watch`.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Prints them again each second, until it is interrupted
    #[arg(short, long)]
    watch: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    loop {
        let document = context.client.get("/v1/workflows")?;
        if arguments.watch && std::io::stdout().is_terminal() {
            // Home, and clear what is below.
            write!(std::io::stdout().lock(), "\x1b[H\x1b[J")?;
        }
        let printed = context.output.rows(&document, &rows(&document));
        match printed {
            // Whoever read the lines has gone.
            Err(error) if arguments.watch && error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Exit::Yes),
            printed => printed?,
        }
        if !arguments.watch {
            return Ok(Exit::Yes);
        }
        std::thread::sleep(EVERY);
    }
}

fn rows(document: &Value) -> Rows {
    let rows = items(document, "workflows").iter().map(row).collect();
    Rows {
        header: &["REQUEST", "SERVICE", "SCOPE", "ENTRY", "AGE", "LEFT", "CALLS", "IDS", "OPEN", "PLACED"],
        narrow: 7,
        rows,
    }
}

fn row(workflow: &Value) -> Vec<String> {
    let left = match seconds(workflow, "seconds-left") {
        none if none == "-" => "open".to_owned(),
        left => left,
    };
    vec![
        field(workflow, "request"),
        field(workflow, "service"),
        field(workflow, "scope"),
        field(workflow, "entry"),
        seconds(workflow, "age-seconds"),
        left,
        joined(workflow, "calls", call),
        joined(workflow, "ids", |id| format!("{}={}", field(id, "name"), field(id, "value"))),
        field(workflow, "open"),
        joined(workflow, "placed", |place| format!("{}@{}", field(place, "service"), field(place, "site"))),
    ]
}

/// `2 Glance@Paris:200`, `1 Glance@Paris:peer-unreachable`
fn call(call: &Value) -> String {
    let came = call.get("last-failure").map_or_else(|| field(call, "last-status"), |failure| field(failure, "code"));
    let last = if came == "-" { String::new() } else { format!(":{came}") };
    let other = if call.get("other-caller") == Some(&Value::Bool(true)) { "(other-caller)" } else { "" };
    format!("{} {}@{}{last}{other}", field(call, "count"), field(call, "service"), field(call, "site"))
}

fn joined(workflow: &Value, name: &str, each: impl Fn(&Value) -> String) -> String {
    match items(workflow, name) {
        [] => "-".to_owned(),
        some => some.iter().map(each).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workflow_is_told_in_one_row() {
        let workflow = json!({
            "request": "ab", "service": "Nova", "scope": "{Nova: Berlin, Glance: Paris}", "entry": "Berlin",
            "age-seconds": 12.3, "seconds-left": 1790.0, "open": 0, "placed": [],
            "ids": [{ "name": "x-openstack-request-id", "value": "req-1" }],
            "calls": [
                { "service": "Glance", "site": "Paris", "count": 4, "last-status": 200, "other-caller": false },
                { "service": "Placement", "site": "Berlin", "count": 1, "last-status": null, "other-caller": true },
                { "service": "Glance", "site": "Nantes", "count": 2, "last-status": null, "other-caller": false,
                  "last-failure": { "code": "peer-unreachable", "detail": "Nantes can't be reached" } },
            ],
        });
        let open =
            json!({ "request": "cd", "seconds-left": null, "open": 2, "placed": [{ "service": "A", "site": "B" }] });
        let table = rows(&json!({ "workflows": [workflow, open] }));
        assert_eq!(
            table.rows.iter().map(|row| row.join(" | ")).collect::<Vec<_>>(),
            [
                "ab | Nova | {Nova: Berlin, Glance: Paris} | Berlin | 12s | 30m | \
                 4 Glance@Paris:200, 1 Placement@Berlin(other-caller), 2 Glance@Nantes:peer-unreachable | \
                 x-openstack-request-id=req-1 | 0 | -",
                "cd | - | - | - | - | open | - | - | 2 | A@B",
            ]
        );
        assert!(rows(&json!({})).rows.is_empty());
    }
}
