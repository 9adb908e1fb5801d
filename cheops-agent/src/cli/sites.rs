//! `cheops sites`

use serde_json::Value;

use super::output::{Rows, field, items, milliseconds, percent, seconds};
use super::{Context, Exit};

/// What is told of a site; the first columns are of every table of sites.
const HEADER: [&str; 18] = [
    "NAME",
    "STATE",
    "STANDING",
    "RTT",
    "AGE",
    "QUEUE",
    "VERSION",
    "CERTIFICATE",
    "AUTHORITY",
    "HOSTS",
    "RTT-MIN",
    "JITTER",
    "LOSS",
    "LOSS-OUT",
    "LOSS-IN",
    "HEARD",
    "PEERS",
    "TROUBLE",
];

/// Columns that a narrow table has.
const NARROW: usize = 6;

pub fn run(context: &Context) -> anyhow::Result<Exit> {
    let document = context.client.get("/v1/sites")?;
    context.output.rows(&document, &table(&document))?;
    Ok(Exit::Yes)
}

/// The table of a document that has `sites`.
pub fn table(document: &Value) -> Rows {
    let rows = items(document, "sites").iter().map(|site| row(site).into()).collect();
    Rows { header: &HEADER, narrow: NARROW, rows }
}

fn row(site: &Value) -> [String; HEADER.len()] {
    [
        field(site, "name"),
        field(site, "state"),
        field(site, "standing"),
        rtt(site),
        seconds(site, "age-seconds"),
        field(site, "queue"),
        field(site, "version"),
        certificate(site),
        field(site, "authority"),
        field(site, "hosts"),
        milliseconds(site, "rtt-min-ms"),
        milliseconds(site, "jitter-ms"),
        percent(site, "loss"),
        percent(site, "loss-out"),
        percent(site, "loss-in"),
        seconds(site, "heard-seconds"),
        field(site, "peers"),
        trouble(site),
    ]
}

/// The usual round trip; where nobody measured it, what it probably is.
fn rtt(site: &Value) -> String {
    match (milliseconds(site, "rtt-ms"), milliseconds(site, "estimated-ms")) {
        (none, estimate) if none == "-" && estimate != "-" => format!("~{estimate}"),
        (measured, _) => measured,
    }
}

fn trouble(site: &Value) -> String {
    match field(site, "one-way") {
        none if none == "-" => field(site, "trouble"),
        one_way => one_way,
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_site_is_told_in_one_row() {
        let paris = json!({
            "name": "Paris", "state": "up", "standing": "active", "rtt-ms": 20.2, "age-seconds": 1.0, "queue": 0,
            "version": "0.1.0", "certificate": { "seconds-left": 3600, "soon": true }, "hosts": ["p1"], "loss": 0.25,
            "one-way": "only from there", "trouble": "timed out", "peers": ["10.77.2.1:7117"],
        });
        let lyon = json!({ "name": "Lyon", "state": "unknown", "standing": "drained", "estimated-ms": 31.0 });
        let table = table(&json!({ "sites": [paris, lyon] }));
        let shown: Vec<String> = table.rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(
            shown,
            [
                "Paris up active 20ms 1s 0 0.1.0 60m! - p1 - - 25% - - - 10.77.2.1:7117 only from there",
                "Lyon unknown drained ~31ms - - - - - - - - - - - - - -"
            ]
        );
        assert!(table.header.starts_with(&["NAME", "STATE", "STANDING", "RTT", "AGE", "QUEUE"]));
    }

    #[test]
    fn certificates_are_told_by_what_is_left() {
        for (left, soon, told) in [(0, true, "expired!"), (3600 * 24 * 90, false, "90d"), (3600 * 3, false, "3h")] {
            assert_eq!(certificate(&json!({ "certificate": { "seconds-left": left, "soon": soon } })), told);
        }
        assert_eq!(certificate(&json!({ "certificate": null })), "-");
    }
}
