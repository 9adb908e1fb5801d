//! `cheops site …`: how this site, or another, takes part.

mod membership;
mod rotation;

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
    /// Make a federation, with this host as its first, which signs for it
    Init(membership::Init),
    /// Join a federation with a token that was issued there
    Join(membership::Join),
    /// Leave the federation; this host goes on serving its own site
    Leave(membership::Leave),
    /// Take a site away that is gone for good
    Remove(membership::Remove),
    /// Choose the site for nothing new: `*` and `around` leave it out, what names it is still served
    Cordon(Name),
    /// The site may be chosen again
    Uncordon(Name),
    /// As cordon; and other sites' scopes create nothing new there
    Drain(Name),
    /// Other sites' scopes may create there again, and the site may be chosen
    Undrain(Name),
    /// No certificate that the host, or each host of the site, has now is believed any more
    Revoke(Whose),
    /// Replace the federation's authority, at a host that signs: hosts follow by themselves, and no request fails
    RotateAuthority(rotation::Rotate),
}

#[derive(Debug, Args)]
struct Whose {
    /// SITE, or SITE/HOST
    name: String,
}

#[derive(Debug, Args)]
struct Name {
    /// The site; without it, this agent's own. Another one needs [metadata] backend = "etcd"
    name: Option<String>,
}

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    match &arguments.what {
        What::Init(arguments) => membership::init(arguments, context),
        What::Join(arguments) => membership::join(arguments, context),
        What::Leave(arguments) => membership::leave(arguments, context),
        What::Remove(arguments) => membership::remove(arguments, context),
        What::Cordon(name) => stands(name, "cordoned", context),
        What::Drain(name) => stands(name, "drained", context),
        What::RotateAuthority(arguments) => rotation::rotate(arguments, context),
        What::Revoke(whose) => revoke(&whose.name, context),
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

fn revoke(name: &str, context: &Context) -> anyhow::Result<Exit> {
    let asked = match name.split_once('/') {
        Some((site, host)) => json!({ "site": site, "host": host }),
        None => json!({ "site": name }),
    };
    let document = context.client.post("/v1/membership/revoke", &asked)?;
    let is = |member: &str| document.get(member) == Some(&serde_json::Value::Bool(true));
    let rows = Rows { header: &["NAME"], narrow: 1, rows: vec![vec![name.to_owned()]] };
    context.output.print(&document, &rows, || {
        let others = match (is("only-here"), is("waits")) {
            (true, _) => "; only by this agent: [metadata] backend is \"embedded\"",
            (false, true) => "; other sites learn it as soon as the metadata cluster has it",
            (false, false) => "",
        };
        format!("{name} is not believed any more; it may join again with a new token{others}")
    })?;
    Ok(Exit::Yes)
}
