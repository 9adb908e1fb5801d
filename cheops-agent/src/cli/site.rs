//! `cheops site …`: how this site, or another, takes part.

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::output::{Rows, field};
use super::{Context, Exit};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Choose the site for nothing new: `*` and `around` leave it out, what names it is still served
    Cordon(Name),
    /// The site may be chosen again
    Uncordon(Name),
    /// As cordon; and other sites' scopes create nothing new there
    Drain(Name),
    /// Other sites' scopes may create there again, and the site may be chosen
    Undrain(Name),
}

#[derive(Debug, Args)]
struct Name {
    /// The site; without it, this agent's own. Another one needs [metadata] backend = "etcd"
    name: Option<String>,
}

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    match &arguments.what {
        What::Cordon(name) => stands(name, "cordoned", context),
        What::Drain(name) => stands(name, "drained", context),
        What::Uncordon(name) | What::Undrain(name) => stands(name, "active", context),
    }
}

fn stands(name: &Name, standing: &str, context: &Context) -> anyhow::Result<Exit> {
    let name = match &name.name {
        Some(name) => name.clone(),
        None => field(&context.client.get("/v1/status")?, "site"),
    };
    let path = format!("/v1/sites/{}/standing", utf8_percent_encode(&name, NON_ALPHANUMERIC));
    let document = context.client.post(&path, &json!({ "standing": standing }))?;
    let waits = document.get("waits") == Some(&serde_json::Value::Bool(true));
    let rows = Rows { header: &["NAME", "STANDING"], narrow: 2, rows: vec![vec![name.clone(), standing.to_owned()]] };
    context.output.print(&document, &rows, || {
        let was = field(&document, "before");
        let waits = if waits { "; other sites learn it when the metadata cluster is back" } else { "" };
        format!("{name} is {standing} now (it was {was}){waits}")
    })?;
    Ok(Exit::Yes)
}
