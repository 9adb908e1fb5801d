//! The copy of what sites keep together, in the text of `cheops status`.

use serde_json::Value;

use super::output::{field, items, seconds};

/// One line for each thing to be said of it.
pub fn lines(metadata: &Value) -> Vec<String> {
    let flag = |name: &str| metadata.get(name).and_then(Value::as_bool) == Some(true);
    let count = |name: &str| metadata.get(name).and_then(Value::as_u64).unwrap_or(0);
    let mut lines = vec![format!(
        "{}, {}{} sites, {} services",
        field(metadata, "backend"),
        connection(metadata),
        count("sites"),
        count("services"),
    )];
    if !flag("complete") {
        lines.push("not everything was seen yet: what is absent is not known".to_owned());
    }
    if count("pending") > 0 {
        lines.push(format!("{} writes wait", count("pending")));
    }
    for refused in items(metadata, "refused") {
        lines.push(format!("refused: {}: {}", field(refused, "what"), field(refused, "why")));
    }
    if count("stale") > 0 {
        lines.push(format!("the cluster was wiped or restored: {} records of before are kept", count("stale")));
    }
    lines.extend(metadata.get("trouble").and_then(Value::as_str).map(|trouble| format!("not kept: {trouble}")));
    lines
}

/// How it stands with the backend, where there is one.
fn connection(metadata: &Value) -> String {
    if metadata.get("backend").and_then(Value::as_str) == Some("embedded") {
        return String::new();
    }
    let age = seconds(metadata, "age-seconds");
    match metadata.get("up").and_then(Value::as_bool) {
        Some(true) => format!("connected to {}, {age} old, ", field(metadata, "endpoint")),
        _ => format!("not connected ({}), {age} old, ", field(metadata, "why-not")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_to_be_known_is_said() {
        let embedded = json!({"backend": "embedded", "up": true, "complete": true, "sites": 1, "services": 2});
        assert_eq!(lines(&embedded), ["embedded, 1 sites, 2 services"]);
        let away = json!({
            "backend": "etcd", "up": false, "why-not": "timed out", "age-seconds": 61.0, "complete": false, "sites": 3,
            "services": 0, "pending": 2, "stale": 4, "trouble": "full",
            "refused": [{"what": "/cheops/lab/sites/X/site", "why": "it is not signed"}],
        });
        let said = lines(&away);
        assert!(said[0].starts_with("etcd, not connected (timed out), "), "{said:?}");
        assert_eq!(said.len(), 6, "{said:?}");
        assert!(said.iter().any(|line| line == "refused: /cheops/lab/sites/X/site: it is not signed"), "{said:?}");
    }
}
