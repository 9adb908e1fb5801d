//! `cheops scope parse|fmt EXPR`

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{Rows, field, items};
use super::{Context, Exit, Format};
use crate::admin::API_VERSION;
use crate::config::{HostHeader, WhenAgentDown};
use crate::metadata::{Service, Site, Snapshot};
use crate::scope::{self, Expr, Item, Scope, ScopeError};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows how a scope is understood, or what is wrong with it
    Parse(Asked),
    /// Prints a scope's normal form
    Fmt(Asked),
}

#[derive(Debug, Args)]
struct Asked {
    /// The scope; words that a shell has split are joined again
    #[arg(required = true, num_args = 1.., value_name = "EXPR")]
    expr: Vec<String>,
    /// The sites that are known, instead of the agent's
    #[arg(long, value_delimiter = ',', value_name = "SITES")]
    sites: Option<Vec<String>>,
    /// The services that are known, instead of the agent's: NAME or NAME/TYPE
    #[arg(long, value_delimiter = ',', value_name = "SERVICES")]
    services: Option<Vec<String>>,
}

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    let (asked, format_only) = match &arguments.verb {
        Verb::Parse(asked) => (asked, false),
        Verb::Fmt(asked) => (asked, true),
    };
    let text = asked.expr.join(" ");
    match understood(&text, asked, context) {
        Ok((scope, unchecked)) => {
            let rows = Rows { header: &["SCOPE"], narrow: 1, rows: vec![vec![scope.to_string()]] };
            let text = || if format_only { scope.to_string() } else { tree(&scope) };
            context.output.print(&document(&scope, unchecked.is_none()), &rows, text)?;
            if let Some(why) = unchecked {
                eprintln!("note: {why}; only the syntax was checked. Give --sites and --services to check names.");
            }
            Ok(Exit::Yes)
        }
        Err(faults) => {
            if matches!(context.output.format, Format::Json | Format::Yaml) {
                let rows = Rows { header: &["SCOPE"], narrow: 1, rows: Vec::new() };
                context.output.print(&problems(&text, &faults), &rows, String::new)?;
            } else {
                let rendered: Vec<String> = faults.iter().map(|fault| fault.render(&text)).collect();
                eprintln!("{}", rendered.join("\n\n"));
            }
            Ok(Exit::No)
        }
    }
}

/// The scope with its names resolved; or as it was written, and why names could not be looked up.
fn understood(text: &str, asked: &Asked, context: &Context) -> Result<(Scope, Option<String>), Vec<ScopeError>> {
    let scope = scope::parse(text).map_err(|fault| vec![fault])?;
    match known(&scope, asked, context) {
        Ok(known) => match scope::resolve_all(&scope, &known) {
            Ok(scope) => Ok((scope, None)),
            Err(faults) => Err(faults.iter().cloned().collect()),
        },
        Err(why) => Ok((scope, Some(why))),
    }
}

/// Sites and services as the arguments give them, else as the agent knows them. Where the arguments give only one of the
/// two, the other is not checked: what the scope names counts as known.
fn known(scope: &Scope, asked: &Asked, context: &Context) -> Result<Snapshot, String> {
    let (sites, services) = if asked.sites.is_none() && asked.services.is_none() {
        let ask = |path| context.client.get(path).map_err(|error| error.to_string());
        let (sites, services) = (ask("/v1/sites")?, ask("/v1/services")?);
        let names = items(&sites, "sites").iter().map(|site| field(site, "name")).collect();
        let service = |service: &Value| {
            let kind = service.get("type").and_then(Value::as_str).map(str::to_owned);
            (field(service, "name"), kind)
        };
        (names, items(&services, "services").iter().map(service).collect())
    } else {
        let mut named = Named::default();
        scope.items.iter().for_each(|item| named.add(item));
        let service = |text: String| match text.split_once('/') {
            Some((name, kind)) => (name.to_owned(), Some(kind.to_owned())),
            None => (text, None),
        };
        let services = asked.services.clone().unwrap_or(named.services).into_iter().map(service).collect();
        (asked.sites.clone().unwrap_or(named.sites), services)
    };
    Ok(snapshot(sites, services))
}

fn snapshot(sites: Vec<String>, services: Vec<(String, Option<String>)>) -> Snapshot {
    let site = |name: String| {
        let site = Site {
            name: name.trim().into(),
            own: false,
            peers: Vec::new(),
            hosts: Vec::new(),
            standing: Default::default(),
        };
        (site.name.clone(), site)
    };
    let service = |(name, kind): (String, Option<String>)| {
        Arc::new(Service {
            name: name.trim().into(),
            kind,
            profile: String::new(),
            when_agent_down: WhenAgentDown::Pass,
            host: HostHeader::Client,
            export: false,
            parameter: false,
            endpoints: BTreeMap::new(),
        })
    };
    Snapshot { sites: sites.into_iter().map(site).collect(), services: services.into_iter().map(service).collect() }
}

/// The names that a scope has itself.
#[derive(Default)]
struct Named {
    sites: Vec<String>,
    services: Vec<String>,
}

impl Named {
    fn add(&mut self, item: &Item) {
        match item {
            Item::Bind { service, expr } => {
                self.services.push(service.text.clone());
                self.add_sites(expr);
            }
            Item::Prime { service, site } => {
                self.services.extend(service.iter().map(|service| service.text.clone()));
                self.sites.push(site.text.clone());
            }
            Item::Around { site, .. } => self.sites.push(site.text.clone()),
            Item::Bare(expr) => self.add_sites(expr),
        }
    }

    fn add_sites(&mut self, expr: &Expr) {
        if let Expr::Site(site) | Expr::Around { site, .. } = expr {
            self.sites.push(site.text.clone());
        }
        expr.parts().iter().for_each(|part| self.add_sites(part));
    }
}

/// Lines with branches: one item each, and below it the parts of its expression.
fn tree(scope: &Scope) -> String {
    let mut out = scope.to_string();
    for (n, item) in scope.items.iter().enumerate() {
        let last = n + 1 == scope.items.len();
        let (label, expr) = match item {
            Item::Bind { service, expr } => (format!("service {service}"), Some(expr)),
            Item::Bare(expr) => ("the addressed service".to_owned(), Some(expr)),
            item => (item.to_string(), None),
        };
        let inner = branch(&mut out, "", last, &label);
        if let Some(expr) = expr {
            add(&mut out, &inner, true, expr);
        }
    }
    out
}

fn add(out: &mut String, before: &str, last: bool, expr: &Expr) {
    let label = match expr {
        Expr::Replicate(_) => "& replication: at all of".to_owned(),
        Expr::Cross(_) => "% cross: one resource over".to_owned(),
        Expr::Otherwise(_) => "|| otherwise: at the first that can of".to_owned(),
        Expr::All(_) => "* every site".to_owned(),
        one => one.to_string(),
    };
    let inner = branch(out, before, last, &label);
    for (n, part) in expr.parts().iter().enumerate() {
        add(out, &inner, n + 1 == expr.parts().len(), part);
    }
}

/// Adds one line; returns what stands before the lines below it.
fn branch(out: &mut String, before: &str, last: bool, label: &str) -> String {
    *out += &format!("\n{before}{} {label}", if last { "└──" } else { "├──" });
    format!("{before}{}", if last { "    " } else { "│   " })
}

fn document(scope: &Scope, names_checked: bool) -> Value {
    let json: Value = serde_json::from_str(&scope.to_json()).unwrap_or_default();
    json!({
        "apiVersion": API_VERSION,
        "kind": "Scope",
        "normal": scope.to_string(),
        "json": json,
        "names-checked": names_checked,
        "items": scope.items.iter().map(item).collect::<Vec<_>>(),
    })
}

fn item(item: &Item) -> Value {
    match item {
        Item::Bind { service, expr: bound } => json!({ "service": service.text, "served": expr(bound) }),
        Item::Bare(bound) => json!({ "service": null, "served": expr(bound) }),
        Item::Prime { service, site } => {
            json!({ "prime": site.text, "service": service.as_ref().map(|service| &service.text) })
        }
        Item::Around { site, within } => {
            json!({ "service": null, "served": { "around": site.text, "seconds": within.as_secs_f64() } })
        }
    }
}

fn expr(of: &Expr) -> Value {
    let parts: Vec<Value> = of.parts().iter().map(expr).collect();
    match of {
        Expr::Site(site) => json!({ "site": site.text }),
        Expr::Around { site, within } => json!({ "around": site.text, "seconds": within.as_secs_f64() }),
        Expr::All(_) => json!({ "all": true }),
        Expr::Replicate(_) => json!({ "replicate": parts }),
        Expr::Cross(_) => json!({ "cross": parts }),
        Expr::Otherwise(_) => json!({ "otherwise": parts }),
    }
}

fn problems(text: &str, faults: &[ScopeError]) -> Value {
    let fault = |fault: &ScopeError| {
        json!({
            "code": fault.code.as_str(),
            "detail": fault.message,
            "hint": fault.suggestion,
            "position": fault.span.map(|span| span.start),
            "length": fault.span.map(|span| span.end.saturating_sub(span.start)),
        })
    };
    json!({
        "apiVersion": API_VERSION,
        "kind": "ScopeProblems",
        "scope": text,
        "problems": faults.iter().map(fault).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_shows_what_each_part_means() {
        let scope = scope::parse("{Nova: Berlin || (Paris & *), Glance: Paris, around: Berlin, 50ms}").expect("valid");
        let expected = "\
{Nova: Berlin || (Paris & *), Glance: Paris, around: Berlin, 50ms}
├── service Nova
│   └── || otherwise: at the first that can of
│       ├── Berlin
│       └── & replication: at all of
│           ├── Paris
│           └── * every site
├── service Glance
│   └── Paris
└── around: Berlin, 50ms";
        assert_eq!(tree(&scope), expected);
    }
}
