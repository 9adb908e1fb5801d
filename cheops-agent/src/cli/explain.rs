//! `cheops explain [--scope EXPR] [-H FIELD|@FILE]… METHOD URL`

use std::io::Read as _;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};

use super::output::{Rows, field, items};
use super::{Context, Exit};

#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// As if the request carried this scope
    #[arg(long, value_name = "EXPR")]
    scope: Option<String>,
    /// As if the request had this header field, or those of a file; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE|@FILE")]
    headers: Vec<String>,
    /// The request's method, such as GET
    method: String,
    /// The request's URL, such as http://10.0.0.1:9292/v2/images
    url: String,
}

// Paragraphs in one line each: they are wrapped as wide as the terminal is.
const HELP: &str = "\
Everybody on this host can read a command line: a token comes by a file, or by standard input (-H @-), one header field \
a line. Nothing of its value is printed or kept; what is said of it is where it was issued, as far as this agent knows:
    echo \"X-Auth-Token: $(openstack token issue -f value -c id)\" |
        cheops explain -H @- --scope '{Glance: Paris}' GET http://10.77.1.1:9292/v2/images";

/// More than any head that an agent takes.
const LONGEST: u64 = 1 << 20;

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    let headers = fields(&arguments.headers)?;
    let question =
        json!({ "method": arguments.method, "url": arguments.url, "scope": arguments.scope, "headers": headers });
    let document = context.client.post("/v1/explain", &question)?;
    let rows = Rows {
        header: &["SITE"],
        narrow: 1,
        rows: items(&document, "sites").iter().map(|site| vec![site.as_str().unwrap_or_default().to_owned()]).collect(),
    };
    context.output.print(&document, &rows, || text(&document))?;
    Ok(if document.get("problem").is_some_and(|problem| !problem.is_null()) { Exit::No } else { Exit::Yes })
}

/// Header fields as they were written, or as the lines of the files that were named.
fn fields(written: &[String]) -> anyhow::Result<Vec<String>> {
    let mut fields = Vec::new();
    for one in written {
        let Some(file) = one.strip_prefix('@') else {
            fields.push(one.clone());
            continue;
        };
        let source: Box<dyn std::io::Read> = match file {
            "-" => Box::new(std::io::stdin().lock()),
            file => Box::new(std::fs::File::open(file).with_context(|| format!("can't read {file}"))?),
        };
        let mut text = String::new();
        source.take(LONGEST + 1).read_to_string(&mut text).with_context(|| format!("can't read {file}"))?;
        if text.len() as u64 > LONGEST {
            bail!("{file} is too long for a request's head: {LONGEST} bytes at most");
        }
        fields.extend(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    Ok(fields)
}

/// The explanation for people.
pub fn text(document: &Value) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, what: String| {
        if what != "-" {
            lines.push(format!("{name:<10} {what}"));
        }
    };
    line("request", format!("{} {}", field(document, "method"), field(document, "url")));
    let captured = if document.get("captured") == Some(&Value::Bool(true)) { "yes" } else { "no" };
    line("captured", format!("{captured}: {}", field(document, "rule")));
    line("service", field(document, "service"));
    line("kind", field(document, "resource-kind"));
    for name in ["id", "operation", "entry", "scope", "plan", "sites"] {
        line(name, field(document, name));
    }
    if let Some(credential) = document.get("credential") {
        let known = match field(credential, "known").as_str() {
            "issued" | "told" => "issued by",
            "guessed" => "probably issued by",
            _ => "of a site that isn't known",
        };
        line("token", format!("{known} {}", field(credential, "home")).trim_end_matches(" -").to_owned());
    }
    if let Some(link) = document.get("link") {
        let used =
            if link.get("follows") == Some(&Value::Bool(true)) { "" } else { ", another caller's: not followed" };
        line("link", format!("{} {}{used}", field(link, "kind"), field(link, "id")));
    }
    for reason in items(document, "reasons") {
        line("because", format!("{} [{}]", field(reason, "text"), field(reason, "code")));
    }
    if let Some(problem) = document.get("problem").filter(|problem| !problem.is_null()) {
        line(
            "refused",
            format!("{} {}: {}", field(problem, "status"), field(problem, "code"), field(problem, "detail")),
        );
        if let (Some(position), Some(scope)) =
            (problem.get("position").and_then(Value::as_u64), document.get("scope-text").and_then(Value::as_str))
        {
            let indent = usize::try_from(position).unwrap_or_default();
            let length = problem
                .get("length")
                .and_then(Value::as_u64)
                .and_then(|length| usize::try_from(length).ok())
                .unwrap_or(1)
                .max(1);
            line("", scope.to_owned());
            line("", format!("{}{}", " ".repeat(columns(scope, indent)), "^".repeat(length)));
        }
        line("hint", field(problem, "hint"));
    }
    lines.join("\n")
}

/// Characters before a position in bytes.
fn columns(text: &str, position: usize) -> usize {
    text.get(..position).map_or(position, |before| before.chars().count())
}
