//! `cheops version`

use serde_json::{Value, json};

use super::output::{Rows, field};
use super::{Context, Exit};

pub fn run(context: &Context) -> anyhow::Result<Exit> {
    let agent = context.client.get("/v1/status").ok();
    let agent = agent.as_ref().map_or(Value::Null, |status| Value::from(field(status, "version")));
    let document = json!({ "apiVersion": crate::admin::API_VERSION, "kind": "Version", "cheops": env!("CARGO_PKG_VERSION"), "agent": agent });
    let rows = Rows {
        header: &["PROGRAM", "VERSION"],
        narrow: 2,
        rows: vec![
            vec!["cheops".into(), field(&document, "cheops")],
            vec!["cheops-agent".into(), field(&document, "agent")],
        ],
    };
    context.output.rows(&document, &rows)?;
    Ok(Exit::Yes)
}
