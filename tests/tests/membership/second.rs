//! A site is not a host: a second one joins the same way, and goes again.

use super::*;

/// The names of a site's hosts, as an agent lists them.
fn hosts(agent: &Agent, of: &str) -> Vec<String> {
    let site = site(agent, of).unwrap_or_default();
    let mut names: Vec<String> =
        site["hosts"].as_array().into_iter().flatten().filter_map(|host| Some(host.as_str()?.to_owned())).collect();
    names.sort();
    names
}

/// The addresses of a service at a site, as an agent knows them.
fn endpoints(agent: &Agent, service: &str) -> String {
    let services = agent.admin("/v1/services").and_then(|answer| answer.json()).unwrap_or_default();
    let found = services["services"].as_array().into_iter().flatten().find(|known| known["name"] == service);
    found.map(ToString::to_string).unwrap_or_default()
}

/// Berlin's file names Paris, too, as files without a cluster do: that goes beside what is learned.
#[test]
fn a_second_host_joins_the_same_way_and_leaves_alone() -> anyhow::Result<()> {
    let federation = Federation::builder()
        .sites(&["Berlin", "Paris"])
        .service(Offered::new("app", 8080))
        .joining(EtcdCluster::today().at(&["Berlin"]))
        .configure(|site, table| {
            if site == "Berlin" {
                let named = "name = \"Paris\"\npeer = [\"10.77.2.1:7117\"]".parse().expect("TOML");
                table.insert("sites".into(), vec![toml::Value::Table(named)].into());
            }
        })
        .start()?;
    federation.join_all()?;
    let berlin = federation.agent("Berlin");
    let (second, services) =
        federation.further("Paris", "paris-2", &[Offered::new("app", 8080), Offered::new("tape", 8091)])?;
    let at = second.host().at(8080);
    until("Paris lives", || cheops(berlin, &["token", "issue", "Paris"], 1).contains("has a host that lives"));
    let token = federation.issue("Berlin", &["Paris", "--host", "paris-2"])?;
    assert!(cheops(federation.agent("Paris"), &["site", "join", &token], 1).contains("already"));
    cheops(&second, &["site", "join", &token], 0);

    until("Berlin lists both", || hosts(berlin, "Paris") == ["paris", "paris-2"]);
    until("Berlin knows both endpoints", || {
        let known = endpoints(berlin, "app");
        known.contains("10.77.2.1:8080") && known.contains(&at.to_string())
    });
    let tape = second.host().at(8091);
    let ask = |from: &str, scope: &str| {
        let request = format!("GET /echo HTTP/1.1\r\nHost: {tape}\r\nX-Scope: {scope}\r\n\r\n");
        federation.host(from).connect(tape).and_then(|mut client| client.exchange(request))
    };
    for from in ["Berlin", "Paris"] {
        let served = || ask(from, "{tape: Paris}").is_ok_and(|answer| answer.site().as_deref() == Some("Paris"));
        until(&format!("{from} reaches what only the second host has"), served);
    }
    let request = format!("GET /echo HTTP/1.1\r\nHost: {at}\r\nX-Scope: {{app: Berlin}}\r\n\r\n");
    let asks = || second.host().connect(at).and_then(|mut client| client.exchange(&request));
    until("the second host asks Berlin", || asks().is_ok_and(|answer| answer.site().as_deref() == Some("Berlin")));
    assert!(services[1].requests().len() >= 2);

    // It goes, and the site stays.
    let left = json(&second, &["site", "leave"]);
    assert_eq!((&left["state"], &left["revoked"]), (&"not-joined".into(), &true.into()));
    until("Berlin forgets it", || hosts(berlin, "Paris") == ["paris"]);
    until("its endpoints end", || {
        !endpoints(berlin, "app").contains(&at.to_string()) && endpoints(berlin, "tape").is_empty()
    });
    assert!(serves(&federation, "Berlin", "Paris") && serves(&federation, "Paris", "Berlin"));
    let kept = federation.etcd().etcdctl(&["get", "--prefix", "--keys-only", "/cheops/lab/"])?;
    assert!(!kept.contains("hosts/paris-2") && !kept.contains("services/tape"), "{kept}");
    Ok(())
}
