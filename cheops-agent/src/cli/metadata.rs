//! The copy of what sites keep together, in the text of `cheops status`.

use serde_json::Value;

use super::output::{Output, field, items, seconds};

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

/// The members of the cluster and their alarms, by what is to be expected of them; nothing without a cluster.
pub fn members(outlook: &Value, output: Output) -> Vec<String> {
    let told = |member: &Value| {
        let (name, site) = (field(member, "name"), field(member, "site"));
        let place = match site.as_str() {
            "-" => " at an unknown place".to_owned(),
            same if same == name => String::new(),
            site => format!(" at {site}"),
        };
        let state = match member.get("up").and_then(Value::as_bool) {
            Some(false) => format!(" {}", output.bad("down")),
            _ if member.get("leads") == Some(&Value::Bool(true)) => " (leads)".to_owned(),
            _ => String::new(),
        };
        format!("{name}{place}{state}")
    };
    let members: Vec<String> = items(outlook, "members").iter().map(told).collect();
    let members = (!members.is_empty()).then(|| format!("members: {}", members.join(", ")));
    let alarm = |raised: &Value| {
        let alarm = output.bad(&field(raised, "alarm"));
        format!("{} raises {alarm}: nothing can be written; see cheops check", field(raised, "member"))
    };
    members.into_iter().chain(items(outlook, "alarms").iter().map(alarm)).collect()
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

    #[test]
    fn members_are_named_with_their_places() {
        let plain = Output::new(crate::cli::Format::Table);
        let member = |name: &str, site: Value, up: Value, leads: bool| json!({ "name": name, "site": site, "up": up, "leads": leads });
        let outlook = json!({
            "members": [member("Berlin", "Berlin".into(), true.into(), true), member("m2", "Paris".into(), false.into(), true),
                member("m3", Value::Null, Value::Null, false)],
            "alarms": [{ "member": "m2", "alarm": "NOSPACE" }],
        });
        assert_eq!(
            members(&outlook, plain),
            [
                "members: Berlin (leads), m2 at Paris down, m3 at an unknown place",
                "m2 raises NOSPACE: nothing can be written; see cheops check"
            ]
        );
        assert!(members(&json!({ "members": [] }), plain).is_empty());
    }
}
