//! `cheops status [--wait[=30s]]`

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::output::{Output, Rows, field, items, milliseconds, seconds};
use super::{ClientError, Context, Exit};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Waits until the agent is ready; exit 1 when it isn't in time, 5 when it can't be reached
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "30s", value_parser = duration)]
    wait: Option<Duration>,
}

/// A duration as in the configuration.
fn duration(text: &str) -> Result<Duration, String> {
    crate::config::duration(text).ok_or_else(|| "write it as 500ms, 30s or 5m".into())
}

/// How often a waiting command asks.
const EVERY: Duration = Duration::from_millis(100);

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    let deadline = arguments.wait.map(|wait| Instant::now() + wait);
    let document = loop {
        let answer = context.client.get("/v1/status");
        let again = match &answer {
            Ok(status) => !ready(status),
            Err(ClientError::Unreachable { .. }) => true,
            Err(_) => false,
        };
        if !again || deadline.is_none_or(|deadline| Instant::now() >= deadline) {
            break answer?;
        }
        std::thread::sleep(EVERY);
    };
    context.output.print(&document, &sites(&document), || text(&document, context.output))?;
    Ok(if ready(&document) { Exit::Yes } else { Exit::No })
}

fn ready(status: &Value) -> bool {
    status.get("ready").and_then(Value::as_bool) == Some(true)
}

fn sites(status: &Value) -> Rows {
    Rows {
        header: &["SITE", "STATE", "RTT", "AGE", "QUEUE", "PEERS"],
        narrow: 5,
        rows: items(status, "sites")
            .iter()
            .map(|site| {
                vec![
                    field(site, "name"),
                    field(site, "state"),
                    milliseconds(site, "rtt-ms"),
                    seconds(site, "age-seconds"),
                    field(site, "queue"),
                    field(site, "peers"),
                ]
            })
            .collect(),
    }
}

fn text(status: &Value, output: Output) -> String {
    let mut text = String::new();
    let state = field(status, "state");
    let state = if ready(status) { output.good(&state) } else { output.bad(&state) };
    let mut line = |name: &str, what: String| {
        // Writing to a String can't fail.
        if writeln!(text, "{name:<12} {what}").is_err() {}
    };
    line(
        "agent",
        format!(
            "{state}, site {}, host {}, version {}, up {}",
            field(status, "site"),
            field(status, "host"),
            field(status, "version"),
            seconds(status, "uptime-seconds"),
        ),
    );
    for awaited in items(status, "waiting") {
        line("", format!("waits for: {}", awaited.as_str().unwrap_or_default()));
    }
    let part = |name: &str| status.get(name).cloned().unwrap_or_default();
    let capture = part("capture");
    line(
        "capture",
        format!(
            "{}, {} endpoints guarded, self-probe {} ({} ago)",
            field(&capture, "state"),
            field(&capture, "guarded"),
            field(&capture, "probe"),
            seconds(&capture, "probe-age-seconds"),
        ),
    );
    let metadata = part("metadata");
    line("metadata", format!("{}, {} old", field(&metadata, "backend"), seconds(&metadata, "age-seconds")));
    let connections = part("connections");
    line(
        "connections",
        format!(
            "{} open, {} tunnels, {} taken",
            field(&connections, "open"),
            field(&connections, "tunnels"),
            field(&connections, "taken")
        ),
    );
    items(status, "earlier").iter().for_each(|one| line("earlier", earlier(one)));
    for site in items(status, "sites").iter().filter(|site| !site.get("one-way").is_none_or(Value::is_null)) {
        line("one way", format!("{}: {}", field(site, "name"), field(site, "one-way")));
    }
    format!("{text}\n{}", output.table(&sites(status)))
}

/// An agent that has handed on to this one.
fn earlier(agent: &Value) -> String {
    format!(
        "process {} finishes {} connections, {} of them tunnels, in at most {}",
        field(agent, "pid"),
        field(agent, "connections"),
        field(agent, "tunnels"),
        seconds(agent, "seconds-left"),
    )
}
