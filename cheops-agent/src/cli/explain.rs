//! `cheops explain [--scope EXPR] [-H FIELD]… METHOD URL`

use clap::Args;
use serde_json::{Value, json};

use super::output::{Rows, field, items};
use super::{Context, Exit};

#[derive(Debug, Args)]
pub struct Arguments {
    /// As if the request carried this scope
    #[arg(long, value_name = "EXPR")]
    scope: Option<String>,
    /// As if the request had this header field; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The request's method, such as GET
    method: String,
    /// The request's URL, such as http://10.0.0.1:9292/v2/images
    url: String,
}

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    let question = json!({ "method": arguments.method, "url": arguments.url, "scope": arguments.scope, "headers": arguments.headers });
    let document = context.client.post("/v1/explain", &question)?;
    let rows = Rows {
        header: &["SITE"],
        narrow: 1,
        rows: items(&document, "sites").iter().map(|site| vec![site.as_str().unwrap_or_default().to_owned()]).collect(),
    };
    context.output.print(&document, &rows, || text(&document))?;
    Ok(if document.get("problem").is_some_and(|problem| !problem.is_null()) { Exit::No } else { Exit::Yes })
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
