//! `cheops sites`

use super::output::{Rows, field, items, milliseconds, seconds};
use super::{Context, Exit};

pub fn run(context: &Context) -> anyhow::Result<Exit> {
    let document = context.client.get("/v1/sites")?;
    let rows = Rows {
        header: &["NAME", "STATE", "RTT", "AGE", "OWN", "PEERS", "HOSTS"],
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
                    field(site, "peers"),
                    field(site, "hosts"),
                ]
            })
            .collect(),
    };
    context.output.rows(&document, &rows)?;
    Ok(Exit::Yes)
}
