//! `cheops services [import]`

mod drop_in;
mod import;

use clap::{Args, Subcommand};

use super::output::{Rows, field, items};
use super::{Context, Exit};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Writes a drop-in of the configuration from a platform's catalog of services
    Import(import::Arguments),
}

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    match &arguments.verb {
        Some(Verb::Import(arguments)) => import::run(arguments, context),
        None => list(context),
    }
}

fn list(context: &Context) -> anyhow::Result<Exit> {
    let document = context.client.get("/v1/services")?;
    let mut rows = Vec::new();
    for service in items(&document, "services") {
        for endpoint in items(service, "endpoints") {
            rows.push(vec![
                field(service, "name"),
                field(service, "type"),
                field(endpoint, "site"),
                field(endpoint, "url"),
                field(endpoint, "guarded"),
                field(service, "profile"),
                field(service, "when-agent-down"),
                field(service, "export"),
                field(endpoint, "addresses"),
                field(endpoint, "note"),
            ]);
        }
    }
    let rows = Rows {
        header: &["NAME", "TYPE", "SITE", "URL", "GUARDED", "PROFILE", "AGENT-DOWN", "EXPORT", "ADDRESSES", "NOTE"],
        narrow: 5,
        rows,
    };
    context.output.rows(&document, &rows)?;
    Ok(Exit::Yes)
}
