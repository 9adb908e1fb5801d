//! `cheops site rotate-authority`: replaces the federation's authority, and shows how far that is.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::output::{Rows, field, items};
use crate::cli::{Context, Exit};

/// How often is asked.
const EVERY: Duration = Duration::from_secs(1);
const PATH: &str = "/v1/membership/authority";

#[derive(Debug, Args)]
pub struct Rotate {
    /// Take the next step without the hosts that are waited for: they may have to join again
    #[arg(long)]
    force: bool,
    /// Return at once; the agents go on by themselves (`cheops status` shows how far they are)
    #[arg(long)]
    no_wait: bool,
}

pub fn rotate(arguments: &Rotate, context: &Context) -> anyhow::Result<Exit> {
    let before = field(&context.client.get(PATH)?, "authority");
    let mut document = context.client.post(PATH, &json!({ "force": arguments.force }))?;
    let mut told = String::new();
    while !arguments.no_wait && field(&document, "state") != "none" {
        let now = progress(&document);
        if now != told {
            eprintln!("{now}");
            told = now;
        }
        std::thread::sleep(EVERY);
        document = context.client.get(PATH)?;
    }
    context.output.print(&document, &rows(&document), || text(&document, &before))?;
    Ok(Exit::Yes)
}

fn text(document: &Value, before: &str) -> String {
    if field(document, "state") != "none" {
        return progress(document);
    }
    let now = field(document, "authority");
    format!(
        "The authority {} signs, and {} is believed no more. A host that was away since before needs a new token \
         (cheops token issue); other hosts that sign are given the new key by joining again with a token of --signs.",
        short(&now),
        short(before)
    )
}

fn short(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

/// How far it is, in a line or one for each host that is waited for.
fn progress(document: &Value) -> String {
    let step = match field(document, "state").as_str() {
        "spreading" => "1 of 2: the new authority comes to be believed",
        _ => "2 of 2: certificates and records are renewed under it",
    };
    let mut lines = vec![format!("step {step}")];
    lines.extend(items(document, "missing").iter().map(|missing| {
        let away = if field(missing, "lives") == "no" { ", which is away," } else { "" };
        let lacks = match field(missing, "lacks").as_str() {
            "trust" => "to believe it",
            "certificate" => "to renew its certificate",
            "links" => "to make its links anew",
            _ => "to sign its site's records",
        };
        format!("  waits for {} at {}{away} {lacks}", field(missing, "host"), field(missing, "site"))
    }));
    lines.join("\n")
}

fn rows(document: &Value) -> Rows {
    let row = |missing: &Value| ["site", "host", "lacks", "lives"].map(|name| field(missing, name)).to_vec();
    let rows = items(document, "missing").iter().map(row).collect();
    Rows { header: &["SITE", "HOST", "LACKS", "LIVES"], narrow: 4, rows }
}
