//! `cheops upgrade`

use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::output::{Rows, field};
use super::{Context, Exit};

#[derive(Debug, Args)]
pub struct Arguments {}

/// How long the new agent may take to be ready after it has taken over. It serves before.
const READY: Duration = Duration::from_secs(30);
/// How often it is asked.
const EVERY: Duration = Duration::from_millis(100);

pub fn run(_: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    let before = context.client.get("/v1/status")?;
    let mut document = context.client.post("/v1/upgrade", &json!({}))?;
    let status = ready(context, document.get("successor"))?;
    let versions = [("earlier-version", field(&before, "version")), ("version", field(&status, "version"))];
    if let Value::Object(document) = &mut document {
        document.extend(versions.into_iter().map(|(name, version)| (name.to_owned(), version.into())));
    }
    let row = ["successor", "version", "earlier", "earlier-version"].map(|name| field(&document, name));
    let rows = Rows { header: &["PID", "VERSION", "EARLIER", "ITS VERSION"], narrow: 4, rows: vec![row.to_vec()] };
    context.output.print(&document, &rows, || {
        let [pid, version, earlier, earlier_version] = row.clone();
        format!(
            "process {pid}, version {version}, has taken over from process {earlier}, version {earlier_version}, \
             which finishes what it has: see cheops status"
        )
    })?;
    Ok(Exit::Yes)
}

/// What the successor says of itself once it is ready. The earlier one may still answer for a moment.
fn ready(context: &Context, successor: Option<&Value>) -> anyhow::Result<Value> {
    let deadline = Instant::now() + READY;
    loop {
        let status = context.client.get("/v1/status");
        if let Ok(status) = &status
            && status.get("pid") == successor
            && status.get("ready") == Some(&Value::Bool(true))
        {
            return Ok(status.clone());
        }
        if Instant::now() >= deadline {
            let waiting = status.map_or_else(|error| error.to_string(), |status| field(&status, "waiting"));
            bail!("the new agent has taken over, and is not ready: {waiting}");
        }
        std::thread::sleep(EVERY);
    }
}
