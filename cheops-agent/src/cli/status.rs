//! `cheops status [--wait[=30s]]`

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::output::{Output, field, items, seconds};
use super::{ClientError, Context, Exit, sites};

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
    context.output.print(&document, &sites::table(&document), || text(&document, context.output))?;
    Ok(if ready(&document) { Exit::Yes } else { Exit::No })
}

fn ready(status: &Value) -> bool {
    status.get("ready").and_then(Value::as_bool) == Some(true)
}

/// Lines with a name before each; without one it belongs to the line above.
#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, name: &str, what: impl AsRef<str>) {
        self.0.push(format!("{name:<12} {}", what.as_ref()));
    }

    fn all(&mut self, name: &str, what: impl IntoIterator<Item = String>) {
        what.into_iter().for_each(|what| self.add(name, what));
    }
}

/// The agent and its parts, a table of the sites, and what would happen if one of them went.
fn text(status: &Value, output: Output) -> String {
    let mut lines = Lines::default();
    own(status, output, &mut lines);
    lines.all("federation", federation(part(status, "membership")));
    lines.all("authority", rotation(part(status, "rotation")).map(|told| output.doubtful(&told)));
    lines.all("one way", items(status, "sites").iter().filter_map(one_way));
    let warnings = items(status, "warnings").iter().filter_map(Value::as_str);
    lines.all("warning", warnings.map(|warning| output.doubtful(warning)));
    let outlook = aloud(part(status, "outlook"), output);
    format!("{}\n\n{}\n\n{}", lines.0.join("\n"), output.table(&sites::table(status)), outlook.join("\n"))
}

/// A member of the status; null where it is absent.
fn part<'a>(status: &'a Value, name: &str) -> &'a Value {
    status.get(name).unwrap_or(&Value::Null)
}

/// What this agent says of itself.
fn own(status: &Value, output: Output, lines: &mut Lines) {
    lines.add("agent", agent(status, output));
    let waiting = items(status, "waiting").iter().filter_map(Value::as_str);
    lines.all("", waiting.map(|awaited| format!("waits for: {awaited}")));
    lines.add("capture", capture(part(status, "capture")));
    lines.all("metadata", super::metadata::lines(part(status, "metadata")));
    lines.all("", super::metadata::members(part(status, "outlook"), output));
    lines.add("connections", connections(part(status, "connections")));
    lines.all("earlier", items(status, "earlier").iter().map(earlier));
}

fn capture(capture: &Value) -> String {
    format!(
        "{}, {} endpoints guarded, self-probe {} ({} ago)",
        field(capture, "state"),
        field(capture, "guarded"),
        field(capture, "probe"),
        seconds(capture, "probe-age-seconds"),
    )
}

fn connections(connections: &Value) -> String {
    format!(
        "{} open, {} tunnels, {} taken",
        field(connections, "open"),
        field(connections, "tunnels"),
        field(connections, "taken")
    )
}

/// Nothing where hosts don't join.
fn federation(membership: &Value) -> Option<String> {
    match field(membership, "state").as_str() {
        "not-joined" => {
            let trouble = membership.get("trouble").and_then(Value::as_str);
            let why = trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default();
            Some(format!("not joined; see cheops site join{why}"))
        }
        "joined" => {
            let signs = if field(membership, "signs") == "yes" { ", signs" } else { "" };
            Some(format!("{}{signs}", field(membership, "federation")))
        }
        _ => None,
    }
}

/// How far the replacement of the federation's authority is.
fn rotation(rotation: &Value) -> Option<String> {
    let waits = items(rotation, "missing").len();
    let told = || format!("being replaced, {}; waits for {waits} hosts: see cheops check", field(rotation, "state"));
    (!rotation.is_null()).then(told)
}

fn one_way(site: &Value) -> Option<String> {
    site.get("one-way").and_then(Value::as_str).map(|told| format!("{}: {told}", field(site, "name")))
}

/// Sites of which each is told what its loss would mean; of more, only those whose loss is felt.
const EACH: usize = 8;

/// What is down, and what would happen if a site went.
fn aloud(outlook: &Value, output: Output) -> Vec<String> {
    let down = match field(outlook, "down") {
        none if none == "-" => String::new(),
        down => format!("{} down: ", output.bad(&down)),
    };
    let now = format!("now: {down}metadata writes {}, requests yes", answer(outlook, "metadata-writes", output));
    let all = items(outlook, "if-gone");
    let told = all.iter().filter(|gone| all.len() <= EACH || field(gone, "metadata-writes") != "yes");
    let mut lines: Vec<String> = [now].into_iter().chain(told.map(|gone| if_gone(outlook, gone, output))).collect();
    if all.len() > EACH {
        lines.push("if any other site goes: metadata writes yes, requests yes".to_owned());
    }
    lines
}

fn if_gone(outlook: &Value, gone: &Value, output: Output) -> String {
    let left = match items(outlook, "members").len() {
        0 => String::new(),
        of => format!(" ({} of {of} members left, {} needed)", field(gone, "members-left"), field(outlook, "quorum")),
    };
    format!(
        "if {} goes: metadata writes {}{left}, requests {}",
        field(gone, "site"),
        answer(gone, "metadata-writes", output),
        answer(gone, "requests", output),
    )
}

/// Yes, no, or that it isn't known.
fn answer(value: &Value, name: &str, output: Output) -> String {
    match field(value, name) {
        yes if yes == "yes" => output.good(&yes),
        no if no == "no" => output.bad(&no),
        other => output.doubtful(&other),
    }
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
