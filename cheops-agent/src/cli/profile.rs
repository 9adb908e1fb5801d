//! `cheops profile test FILE < request`

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{Rows, field, items};
use super::{Context, Exit};
use crate::admin::API_VERSION;
use crate::config::ScopeCarriers;
use crate::http::head::RequestHead;
use crate::plan::target;
use crate::profile::load::load_file;
use crate::profile::{List, Matched, OpKind, Profile, Profiles};
use crate::scope::carriers::{self, Allowed};

/// The most that is read of a request: its head is what counts.
const MOST: u64 = 1 << 20;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Says what a profile makes of the request on standard input
    Test(Test),
}

#[derive(Debug, Args)]
struct Test {
    /// The profile's file, or the name of one that is built in
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The type of the service that the request is for, such as compute
    #[arg(long, value_name = "TYPE")]
    service: Option<String>,
    /// The path prefix of the service's endpoint
    #[arg(long, value_name = "PATH", default_value = "")]
    prefix: String,
}

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    let Verb::Test(test) = &arguments.verb;
    let profile = match profile(&test.file) {
        Ok(profile) => profile,
        Err(faults) => {
            eprintln!("{faults}");
            return Ok(Exit::No);
        }
    };
    let mut text = Vec::new();
    std::io::stdin().lock().take(MOST).read_to_end(&mut text)?;
    let head = match request(&text) {
        Ok(head) => head,
        Err(error) => {
            eprintln!("cheops: standard input is no request: {error}\nhelp: write GET /things/7, or a whole request");
            return Ok(Exit::Usage);
        }
    };
    let document = document(&profile, &head, test);
    let rows = Rows { header: &["RESOURCE"], narrow: 1, rows: vec![vec![field(&document, "resource-kind")]] };
    context.output.print(&document, &rows, || shown(&document))?;
    Ok(if document.get("scope-problem").is_some_and(|problem| !problem.is_null()) { Exit::No } else { Exit::Yes })
}

/// A file, or a built-in profile by its name.
fn profile(file: &Path) -> Result<Profile, crate::profile::ProfileError> {
    let built_in = file.to_str().filter(|_| !file.is_file()).map(|name| name.trim_end_matches(".toml"));
    match (built_in, Profiles::built_in()?) {
        (Some(name), profiles) if profiles.get(name).is_some() => Ok(profiles.get_or_default(name).as_ref().clone()),
        _ => load_file(file),
    }
}

/// The request's head: a whole one, with either kind of line ends, or just `METHOD TARGET`.
fn request(text: &[u8]) -> Result<RequestHead, String> {
    let text = String::from_utf8_lossy(text);
    let mut lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    let first = lines.first().copied().unwrap_or_default().trim_end();
    let completed = match first.split(' ').count() {
        2 => format!("{first} HTTP/1.1"),
        _ => first.to_owned(),
    };
    if let Some(line) = lines.first_mut() {
        *line = &completed;
    }
    let mut head = lines.join("\r\n") + "\r\n";
    if !lines.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
        head += "Host: test\r\n";
    }
    head += "\r\n";
    RequestHead::parse(Bytes::from(head), usize::MAX).map_err(|error| error.to_string())
}

fn document(profile: &Profile, head: &RequestHead, test: &Test) -> Value {
    let range = target::path_range(head.target());
    let path = range.and_then(|range| head.target().get(range)).unwrap_or_default();
    let behind = target::behind(path, &test.prefix);
    let matched = profile.matching(test.service.as_deref(), head.method(), behind.unwrap_or(path));
    let found = |header: &str| head.first(header).map(|value| String::from_utf8_lossy(value).into_owned());
    let correlation: Vec<Value> = profile
        .correlation()
        .iter()
        .map(|id| json!({ "header": id.header, "value": found(&id.header), "set": id.set, "restore": id.restore }))
        .collect();
    let allowed = Allowed { parameter: true, token: profile.scope_header() };
    let (scope, problem) = match carriers::find(head, &ScopeCarriers::default(), allowed) {
        Ok(carried) => (carried.map(|carried| carried.scope.to_string()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    json!({
        "apiVersion": API_VERSION,
        "kind": "ProfileTest",
        "resource-kind": matched.kind,
        "profile": profile.name,
        "service": test.service,
        "class": profile.class(test.service.as_deref()),
        "prefix-matches": behind.is_some(),
        "method": head.method(),
        "path": path,
        "id": matched.id,
        "operation": matched.op,
        "correlation": correlation,
        "scope": scope,
        "scope-problem": problem,
        "does": done(profile, &matched),
    })
}

/// What each collaboration would do with it.
fn done(profile: &Profile, matched: &Matched<'_>) -> Vec<String> {
    let thing = match (matched.kind, matched.id) {
        _ if matched.op == OpKind::Describe => "clients".to_owned(),
        (Some(kind), Some(id)) => format!("{kind} {id}"),
        (Some(kind), None) => format!("the collection {kind}"),
        (None, _) => "something that the profile doesn't know".to_owned(),
    };
    let what = match matched.op {
        OpKind::Read => "reads",
        OpKind::List => "lists",
        OpKind::Create => "creates in",
        OpKind::Replace => "sets the whole state of",
        OpKind::Merge => "sets some fields of",
        OpKind::Add => "adds, not repeatable, to",
        OpKind::Once => "has a side effect, never repeated, on",
        OpKind::Delete => "deletes",
        OpKind::Describe => "describes the API, for",
        OpKind::Unknown => "does something unknown to",
    };
    let mut next = vec!["it can't be reached before the request was sent".to_owned()];
    if matched.id.is_some() || matched.nested {
        next.push("it answers 404".to_owned());
    }
    next.extend(profile.capacity(matched.kind, matched.op).iter().map(|error| match &error.body {
        None => format!("it answers {}", error.status),
        Some(text) => format!("it answers {} with \"{text}\"", error.status),
    }));
    let mut lines = vec![
        format!("it {what} {thing}"),
        "without a scope: served by the endpoint that it addresses, byte for byte".to_owned(),
        "with A: served at A".to_owned(),
        format!("with A || B: served at A; at B if, of A, {}", next.join(", or ")),
    ];
    let first = "own site first, the next if it can't be reached, has no such thing (404), or fails (5xx)";
    lines.extend(match matched.op {
        OpKind::List => Some(united(&profile.list(matched.kind))),
        OpKind::Read => Some(format!("with A & B: read at one of them, {first}")),
        OpKind::Describe => Some(format!("with several sites: answered by one of them, {first}")),
        _ => None,
    });
    lines
}

/// What becomes of the lists of several sites.
fn united(list: &List) -> String {
    let place = match &list.elements {
        Some(pointer) => format!("at {}", pointer.get_ref()),
        None => "the body or its only array".to_owned(),
    };
    let mark = if list.mark { "each element marked with its site" } else { "without marks" };
    let pages = match (&list.token, &list.marker, &list.next) {
        (Some(token), ..) => format!("pages by the token {}", token.get_ref()),
        (None, Some(marker), _) => format!("pages by the parameter {marker}"),
        (None, None, Some(next)) => format!("pages by the link {}", next.get_ref()),
        (None, None, None) => "no pages".to_owned(),
    };
    let order = list.sort.as_ref().map_or("site by site", |_| "sorted over the sites");
    format!("with A & B: one list of both ({place}), {mark}, {order}, {pages}, {} s for each site", list.within)
}

fn shown(document: &Value) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, what: String| {
        if what != "-" {
            lines.push(format!("{name:<11} {what}"));
        }
    };
    line("request", format!("{} {}", field(document, "method"), field(document, "path")));
    for name in ["profile", "service", "class"] {
        line(name, field(document, name));
    }
    line("kind", field(document, "resource-kind"));
    for name in ["id", "operation", "scope"] {
        line(name, field(document, name));
    }
    if document.get("prefix-matches") == Some(&Value::Bool(false)) {
        line("prefix", "the path is outside of it".to_owned());
    }
    line("scope", field(document, "scope-problem"));
    for id in items(document, "correlation") {
        let value = match (id.get("value").and_then(Value::as_str), id.get("set").and_then(Value::as_str)) {
            (Some(value), _) => value.to_owned(),
            (None, Some(set)) => format!("absent, set to {set} when the request is scoped"),
            (None, None) => "absent".to_owned(),
        };
        line("correlation", format!("{}: {value}", field(id, "header")));
    }
    for does in items(document, "does") {
        line("does", does.as_str().unwrap_or_default().to_owned());
    }
    lines.join("\n")
}
