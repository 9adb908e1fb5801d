//! `cheops site init|join|leave|remove`: coming into a federation, and out of it.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::cli::output::{Rows, field};
use crate::cli::{Context, Exit};

/// More than any token has.
const LONGEST: u64 = 16 * 1024;

#[derive(Debug, Args)]
pub struct Init {
    /// The federation's name; must be the one in the agent's file
    #[arg(long, value_name = "NAME")]
    federation: Option<String>,
}

#[derive(Debug, Args)]
pub struct Join {
    /// The token, or - to read it from standard input, where no list of processes shows it
    #[arg(required_unless_present = "token_file", conflicts_with = "token_file")]
    token: Option<String>,
    /// A file with the token
    #[arg(long, value_name = "PATH")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Leave {
    /// Leave though no other host signs, or the metadata cluster can't be asked
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub struct Remove {
    /// The site
    name: String,
    /// Yes, revoke its certificates
    #[arg(long)]
    force: bool,
}

pub fn init(arguments: &Init, context: &Context) -> anyhow::Result<Exit> {
    let document = context.client.post("/v1/membership/init", &json!({ "federation": arguments.federation }))?;
    let federation = field(&document, "federation");
    said(&document, context, || {
        format!(
            "The federation {federation} begins with this host, which signs for it.\n\
             Let another site in: cheops token issue SITE, and there: cheops site join TOKEN"
        )
    })
}

pub fn join(arguments: &Join, context: &Context) -> anyhow::Result<Exit> {
    let token = token(arguments)?;
    let document = context.client.post("/v1/membership/join", &json!({ "token": token.trim() }))?;
    let federation = field(&document, "federation");
    said(&document, context, || {
        format!(
            "This host has joined the federation {federation}.\n\
             Users of its other sites are let in here once trust of [identity] in agent.toml names these, or \"*\"."
        )
    })
}

pub fn leave(arguments: &Leave, context: &Context) -> anyhow::Result<Exit> {
    let document = context.client.post("/v1/membership/leave", &json!({ "force": arguments.force }))?;
    let federation = field(&document, "federation");
    let stays = match document.get("revoked") {
        Some(Value::Bool(false)) => {
            "\nIts certificates are still good, and its records stay: at a host that signs, cheops site revoke SITE/HOST, and \
             cheops site remove SITE --force if it was the site's only one"
        }
        _ => "",
    };
    said(&document, context, || {
        format!("This host has left the federation {federation}, and goes on serving its own site.{stays}")
    })
}

pub fn remove(arguments: &Remove, context: &Context) -> anyhow::Result<Exit> {
    let name = &arguments.name;
    let path = format!("/v1/membership/sites/{}/remove", utf8_percent_encode(name, NON_ALPHANUMERIC));
    let document = context.client.post(&path, &json!({ "force": arguments.force }))?;
    let hosts = field(&document, "hosts");
    let rows = Rows { header: &["NAME", "HOSTS"], narrow: 2, rows: vec![vec![name.clone(), hosts.clone()]] };
    context.output.print(&document, &rows, || {
        format!("{name} ({hosts}) was removed; what its hosts were given is not believed any more.")
    })?;
    Ok(Exit::Yes)
}

fn said(document: &Value, context: &Context, text: impl FnOnce() -> String) -> anyhow::Result<Exit> {
    let row = vec![field(document, "federation"), field(document, "state"), field(document, "signs")];
    let rows = Rows { header: &["FEDERATION", "STATE", "SIGNS"], narrow: 3, rows: vec![row] };
    context.output.print(document, &rows, text)?;
    Ok(Exit::Yes)
}

fn token(arguments: &Join) -> anyhow::Result<String> {
    match (&arguments.token, &arguments.token_file) {
        (Some(word), _) if word != "-" => Ok(word.clone()),
        (None, Some(path)) if path != Path::new("-") => {
            let file = std::fs::File::open(path).with_context(|| format!("can't read {}", path.display()))?;
            read(file).with_context(|| format!("can't read {}", path.display()))
        }
        _ => read(std::io::stdin().lock()).context("can't read the token from standard input"),
    }
}

fn read(source: impl Read) -> anyhow::Result<String> {
    let mut text = String::new();
    source.take(LONGEST).read_to_string(&mut text)?;
    if text.trim().is_empty() {
        bail!("there is no token in it");
    }
    Ok(text)
}
