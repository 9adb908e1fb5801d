//! `cheops sites`

use serde_json::Value;

use super::output::{Rows, field, items, milliseconds, percent, seconds};
use super::{Context, Exit};

pub fn run(context: &Context) -> anyhow::Result<Exit> {
    let document = context.client.get("/v1/sites")?;
    let rows = Rows {
        header: &[
            "NAME",
            "STATE",
            "STANDING",
            "RTT",
            "AGE",
            "QUEUE",
            "VERSION",
            "CERTIFICATE",
            "HOSTS",
            "RTT-MIN",
            "JITTER",
            "LOSS",
            "LOSS-OUT",
            "LOSS-IN",
            "HEARD",
            "PEERS",
            "TROUBLE",
        ],
        narrow: 6,
        rows: items(&document, "sites").iter().map(row).collect(),
    };
    context.output.rows(&document, &rows)?;
    Ok(Exit::Yes)
}

fn row(site: &Value) -> Vec<String> {
    vec![
        field(site, "name"),
        field(site, "state"),
        field(site, "standing"),
        milliseconds(site, "rtt-ms"),
        seconds(site, "age-seconds"),
        field(site, "queue"),
        field(site, "version"),
        certificate(site),
        field(site, "hosts"),
        milliseconds(site, "rtt-min-ms"),
        milliseconds(site, "jitter-ms"),
        percent(site, "loss"),
        percent(site, "loss-out"),
        percent(site, "loss-in"),
        seconds(site, "heard-seconds"),
        field(site, "peers"),
        match field(site, "one-way") {
            none if none == "-" => field(site, "trouble"),
            one_way => one_way,
        },
    ]
}

/// How long the certificate that ends first is still good; `!` where that is worth a warning.
fn certificate(site: &Value) -> String {
    let Some(certificate) = site.get("certificate").filter(|known| !known.is_null()) else { return "-".into() };
    let left = match certificate.get("seconds-left").and_then(Value::as_u64) {
        Some(0) => "expired".to_owned(),
        Some(left) if left > 172_800 => format!("{}d", left / 86_400),
        _ => seconds(certificate, "seconds-left"),
    };
    if certificate.get("soon") == Some(&Value::Bool(true)) { format!("{left}!") } else { left }
}
