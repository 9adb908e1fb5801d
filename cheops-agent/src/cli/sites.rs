//! `cheops sites`

use super::output::{Rows, field, items, milliseconds, percent, seconds};
use super::{Context, Exit};

pub fn run(context: &Context) -> anyhow::Result<Exit> {
    let document = context.client.get("/v1/sites")?;
    let rows = Rows {
        header: &[
            "NAME", "STATE", "RTT", "AGE", "OWN", "RTT-MIN", "JITTER", "LOSS", "LOSS-OUT", "LOSS-IN", "HEARD",
            "VERSION", "PEERS", "HOSTS", "TROUBLE",
        ],
        narrow: 5,
        rows: items(&document, "sites")
            .iter()
            .map(|site| {
                vec![
                    field(site, "name"),
                    field(site, "state"),
                    milliseconds(site, "rtt-ms"),
                    seconds(site, "age-seconds"),
                    field(site, "own"),
                    milliseconds(site, "rtt-min-ms"),
                    milliseconds(site, "jitter-ms"),
                    percent(site, "loss"),
                    percent(site, "loss-out"),
                    percent(site, "loss-in"),
                    seconds(site, "heard-seconds"),
                    field(site, "version"),
                    field(site, "peers"),
                    field(site, "hosts"),
                    match field(site, "one-way") {
                        none if none == "-" => field(site, "trouble"),
                        one_way => one_way,
                    },
                ]
            })
            .collect(),
    };
    context.output.rows(&document, &rows)?;
    Ok(Exit::Yes)
}
