//! `cheops token …`: what lets a host into the federation, once.

use std::time::Duration;

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::output::{Rows, field, items};
use super::{Context, Exit};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Issue a token with which one host of a site can join, once; it is shown this one time
    Issue(Issue),
    /// The tokens that were not used yet
    List,
    /// Take a token back
    Revoke {
        /// The token's id, as `cheops token list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
struct Issue {
    /// The site that the host belongs to, as "site" in its file says it
    site: String,
    /// The one host that may use it; must be said for a further host of a site that lives
    #[arg(long)]
    host: Option<String>,
    /// How long it may be used, such as 30m or 1h
    #[arg(long, default_value = "1h", value_parser = duration)]
    expires: Duration,
    /// The host is to sign for the federation, too: it is given the authority's key
    #[arg(long)]
    signs: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::duration(text).ok_or_else(|| "write it as 30m, 1h or 7d".to_owned())
}

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    match &arguments.what {
        What::Issue(wanted) => issue(wanted, context),
        What::List => list(context),
        What::Revoke { id } => revoke(id, context),
    }
}

fn issue(wanted: &Issue, context: &Context) -> anyhow::Result<Exit> {
    let body = json!({
        "site": wanted.site,
        "host": wanted.host,
        "expires-seconds": wanted.expires.as_secs(),
        "signs": wanted.signs,
    });
    let document = context.client.post("/v1/tokens", &body)?;
    let rows = Rows { header: &["ID"], narrow: 1, rows: vec![vec![field(&document, "id")]] };
    context.output.print(&document, &rows, || field(&document, "token"))?;
    Ok(Exit::Yes)
}

fn list(context: &Context) -> anyhow::Result<Exit> {
    let document = context.client.get("/v1/tokens")?;
    let row = |token: &serde_json::Value| {
        ["id", "site", "host", "signs", "by", "expired"].map(|name| field(token, name)).to_vec()
    };
    let rows = Rows {
        header: &["ID", "SITE", "HOST", "SIGNS", "BY", "EXPIRED"],
        narrow: 6,
        rows: items(&document, "tokens").iter().map(row).collect(),
    };
    context.output.rows(&document, &rows)?;
    Ok(Exit::Yes)
}

fn revoke(id: &str, context: &Context) -> anyhow::Result<Exit> {
    let path = format!("/v1/tokens/{}/revoke", utf8_percent_encode(id, NON_ALPHANUMERIC));
    let document = context.client.post(&path, &json!({}))?;
    let rows = Rows { header: &["ID"], narrow: 1, rows: vec![vec![id.to_owned()]] };
    context.output.print(&document, &rows, || format!("The token {id} is of no use any more."))?;
    Ok(Exit::Yes)
}
