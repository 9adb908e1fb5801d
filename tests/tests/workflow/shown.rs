//! What people see of workflows and links.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::*;

const VALUE: &str = "req-0a1b2c3d-0000-4111-8222-0123456789ab";

fn fields(call: Option<&str>) -> String {
    let call = call.map(|call| format!("Call-Token: {call}\r\n")).unwrap_or_default();
    scope("{front: Berlin, back: Paris}") + &format!("X-Openstack-Request-Id: {VALUE}\r\nX-Auth-Token: alice\r\n{call}")
}

fn cheops(federation: &Federation, arguments: &[&str]) -> anyhow::Result<String> {
    let output = federation.agent("Berlin").cheops(arguments)?;
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "cheops {}: {said}", arguments.join(" "));
    Ok(out.trim_end().to_owned())
}

#[test]
fn live_workflows_are_listed_with_their_calls() -> anyhow::Result<()> {
    let federation = cloud("")?;
    assert_eq!(cheops(&federation, &["workflows", "-o", "name"])?, "");
    assert_eq!(went(&federation, &fields(None))?, "Berlin Paris");
    assert_eq!(went(&federation, &fields(Some("of-the-service")))?, "Berlin Berlin");
    let document: Value = serde_json::from_str(&cheops(&federation, &["workflows", "-o", "json"])?)?;
    assert_eq!((&document["kind"], &document["apiVersion"]), (&"Workflows".into(), &"cheops/v1".into()));
    let all = document["workflows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [one] = all else { panic!("{document:#}") };
    assert_eq!(one["ids"], serde_json::json!([{ "name": "x-openstack-request-id", "value": VALUE }]));
    for (name, value) in [("service", "front"), ("entry", "Berlin"), ("scope", "{front: Berlin, back: Paris}")] {
        assert_eq!(one[name], value, "{document:#}");
    }
    assert!(one["age-seconds"].as_f64().is_some_and(|age| age < 60.0), "{one:#}");
    assert!(one["seconds-left"].as_f64().is_some_and(|left| left > 0.0 && left <= 60.0), "a read is brief: {one:#}");
    let calls = serde_json::json!([
        { "service": "back", "site": "Paris", "count": 1, "last-status": 200, "other-caller": false },
        { "service": "back", "site": "Berlin", "count": 1, "last-status": null, "other-caller": true },
    ]);
    assert_eq!(one["calls"], calls);
    let table = cheops(&federation, &["workflows", "-o", "wide"])?;
    assert!(table.contains("1 back@Paris:200, 1 back@Berlin(other-caller)") && table.contains(VALUE), "{table}");
    let request = one["request"].as_str().unwrap_or_default();
    assert_eq!(cheops(&federation, &["workflows", "-o", "name"])?, request);
    // At the site where the call was served, too, and not where nothing of it came by.
    let paris: Value = federation.agent("Paris").admin("/v1/workflows")?.json()?;
    assert_eq!(paris["workflows"][0]["calls"][0]["site"], "Paris", "{paris:#}");
    let nantes: Value = federation.agent("Nantes").admin("/v1/workflows")?.json()?;
    assert_eq!(nantes["workflows"], serde_json::json!([]));
    Ok(())
}

#[test]
fn explain_says_what_links_a_request() -> anyhow::Result<()> {
    let federation = cloud("")?;
    let url = format!("http://{}/", federation.address("Berlin", "back"));
    let id = format!("X-Openstack-Request-Id: {VALUE}");
    let explain = |token: &str, format: &str| {
        cheops(&federation, &["explain", "-o", format, "-H", &id, "-H", &format!("X-Auth-Token: {token}"), "GET", &url])
    };
    let before: Value = serde_json::from_str(&explain("alice", "json")?)?;
    assert_eq!((&before["link"], &before["plan"]), (&Value::Null, &"direct".into()), "{before:#}");
    assert_eq!(went(&federation, &fields(None))?, "Berlin Paris");
    let linked: Value = serde_json::from_str(&explain("alice", "json")?)?;
    assert_eq!((&linked["link"]["kind"], &linked["link"]["id"]), (&"profile".into(), &VALUE.into()), "{linked:#}");
    assert_eq!((&linked["scope-source"], &linked["sites"][0]), (&"workflow".into(), &"Paris".into()), "{linked:#}");
    assert!(explain("alice", "table")?.contains(&format!("link       profile {VALUE}")));
    let other = explain("of-the-service", "table")?;
    assert!(other.contains("another caller's: not followed") && other.contains("[other-caller]"), "{other}");
    let other: Value = serde_json::from_str(&explain("of-the-service", "json")?)?;
    assert_eq!((&other["plan"], &other["scope"]), (&"direct".into(), &Value::Null), "{other:#}");
    // Nothing was sent or counted for it.
    let counted = federation.agent("Berlin").metric("cheops_workflow_calls_total{link=\"other-caller\"}")?;
    assert_eq!(counted, Some(0.0));
    Ok(())
}

#[test]
fn tap_shows_the_link_of_each_call() -> anyhow::Result<()> {
    let federation = cloud("")?;
    let mut tap = federation.agent("Berlin").cheops_command()?;
    let mut tap = tap.args(["tap", "--service", "back", "-n", "2"]).stdout(Stdio::piped()).spawn()?;
    let agent = federation.agent("Berlin");
    let watched = || agent.metric("cheops_taps_open").is_ok_and(|open| open.is_some_and(|open| open > 0.0));
    assert!(eventually(SOON, watched));
    assert_eq!(went(&federation, &fields(None))?, "Berlin Paris");
    assert_eq!(went(&federation, &fields(Some("of-the-service")))?, "Berlin Berlin");
    let lines: Vec<String> = BufReader::new(tap.stdout.take().expect("piped")).lines().collect::<Result<_, _>>()?;
    tap.wait()?;
    let [linked, other] = &lines[..] else { panic!("{lines:?}") };
    assert!(linked.contains(&format!(" link=profile:{VALUE} 200")) && linked.contains("sites=Paris"), "{linked}");
    assert!(
        other.contains(&format!(" link=profile:{VALUE}(other-caller) 200")) && other.contains("plan=direct"),
        "{other}"
    );
    Ok(())
}
