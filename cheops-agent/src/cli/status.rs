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
        header: &["SITE", "STATE", "STANDING", "RTT", "AGE", "QUEUE", "PEERS"],
        narrow: 6,
        rows: items(status, "sites")
            .iter()
            .map(|site| {
                vec![
                    field(site, "name"),
                    field(site, "state"),
                    field(site, "standing"),
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
    let mut line = |name: &str, what: String| {
        // Writing to a String can't fail.
        if writeln!(text, "{name:<12} {what}").is_err() {}
    };
    line("agent", agent(status, output));
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
    super::metadata::lines(&metadata).into_iter().for_each(|what| line("metadata", what));
    let membership = part("membership");
    match field(&membership, "state").as_str() {
        "not-joined" => {
            let trouble = membership.get("trouble").and_then(serde_json::Value::as_str);
            let why = trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default();
            line("federation", format!("not joined; see cheops site join{why}"));
        }
        "joined" => {
            let signs = if field(&membership, "signs") == "yes" { ", signs" } else { "" };
            line("federation", format!("{}{signs}", field(&membership, "federation")));
        }
        _ => {}
    }
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
    for warning in items(status, "warnings").iter().filter_map(Value::as_str) {
        line("warning", output.doubtful(warning));
    }
    let outlook = aloud(&part("outlook"), output).join("\n");
    format!("{text}\n{}\n\n{outlook}", output.table(&sites(status)))
}

/// Sites of which each is told what its loss would mean; of more, only those whose loss is felt.
const EACH: usize = 8;

/// What is down, and what would happen if a site went.
fn aloud(outlook: &Value, output: Output) -> Vec<String> {
    let mut lines = Vec::new();
    let members = items(outlook, "members").len();
    let answer = |value: &Value, name: &str| match field(value, name) {
        yes if yes == "yes" => output.good(&yes),
        no if no == "no" => output.bad(&no),
        other => output.doubtful(&other),
    };
    let counted = |left: String| match members {
        0 => String::new(),
        _ => format!(" ({left} of {members} members left, {} needed)", field(outlook, "quorum")),
    };
    let down = match field(outlook, "down") {
        none if none == "-" => String::new(),
        down => format!("{} down: ", output.bad(&down)),
    };
    lines.push(format!("now: {down}metadata writes {}, requests yes", answer(outlook, "metadata-writes")));
    let all = items(outlook, "if-gone");
    let told = |gone: &&Value| all.len() <= EACH || field(gone, "metadata-writes") != "yes";
    for gone in all.iter().filter(told) {
        lines.push(format!(
            "if {} goes: metadata writes {}{}, requests {}",
            field(gone, "site"),
            answer(gone, "metadata-writes"),
            counted(field(gone, "members-left")),
            answer(gone, "requests"),
        ));
    }
    if all.len() > EACH {
        lines.push("if any other site goes: metadata writes yes, requests yes".to_owned());
    }
    lines
}

/// The agent itself.
fn agent(status: &Value, output: Output) -> String {
    let state = field(status, "state");
    let state = if ready(status) { output.good(&state) } else { output.bad(&state) };
    format!(
        "{state}, site {}, host {}, version {}, up {}",
        field(status, "site"),
        field(status, "host"),
        field(status, "version"),
        seconds(status, "uptime-seconds"),
    )
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::Format;

    fn gone(site: &str, writes: &str, left: u32) -> Value {
        json!({ "site": site, "metadata-writes": writes, "requests": "yes", "members-left": left })
    }

    #[test]
    fn it_is_said_aloud_what_would_happen() {
        let plain = Output::new(Format::Table);
        let outlook = json!({
            "metadata-writes": "yes", "members": [{}, {}, {}], "quorum": 2, "down": ["Nantes", "Lyon"],
            "if-gone": [gone("Berlin", "no", 1), gone("Nantes", "yes", 2), gone("Paris", "unknown", 1)],
        });
        let expected = "now: Nantes,Lyon down: metadata writes yes, requests yes\n\
            if Berlin goes: metadata writes no (1 of 3 members left, 2 needed), requests yes\n\
            if Nantes goes: metadata writes yes (2 of 3 members left, 2 needed), requests yes\n\
            if Paris goes: metadata writes unknown (1 of 3 members left, 2 needed), requests yes";
        assert_eq!(aloud(&outlook, plain).join("\n"), expected);
        let mut many: Vec<Value> = (0..20).map(|n| gone(&format!("S{n}"), "yes", 2)).collect();
        many.push(gone("Berlin", "no", 1));
        let outlook = json!({ "metadata-writes": "no", "members": [], "quorum": 0, "down": [], "if-gone": many });
        assert_eq!(
            aloud(&outlook, plain),
            [
                "now: metadata writes no, requests yes",
                "if Berlin goes: metadata writes no, requests yes",
                "if any other site goes: metadata writes yes, requests yes"
            ]
        );
    }
}
