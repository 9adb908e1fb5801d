//! Sites leave, or are taken away when they are gone; and others say how a site stands.

use std::path::Path;

use super::*;

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

#[test]
fn a_site_that_leaves_is_forgotten_and_cannot_come_back_as_it_was() -> anyhow::Result<()> {
    let mut federation = sites(EtcdCluster::debian(), &["Berlin", "Paris", "Nantes"])?;
    federation.join_all()?;
    until("Berlin serves Nantes", || {
        serves(&federation, "Nantes", "Berlin") && serves(&federation, "Berlin", "Nantes")
    });
    let tls = federation.agent("Nantes").files().directory().join("state/tls");
    let stolen = tls.with_file_name("stolen");
    copy(&tls, &stolen)?;
    let said = cheops(federation.agent("Nantes"), &["site", "leave"], 0);
    assert!(said.contains("has left the federation lab") && !said.contains("still good"), "{said}");
    for name in ["host.pem", "host.key", "ca.pem"] {
        assert!(!tls.join(name).exists(), "{name} is still there");
    }
    forgotten(&federation);
    // It goes on with its own site, and tells nothing.
    assert_eq!(federation.get("Nantes", "app", "/echo", Some("{app: Nantes}"))?.site().as_deref(), Some("Nantes"));
    assert!(!serves(&federation, "Nantes", "Berlin"));
    assert!(
        told(&federation)?.lines().filter(|key| key.contains("Nantes")).all(|key| key.contains("/revoked/")),
        "{}",
        told(&federation)?
    );

    // With what it had.
    let agent = federation.agent_mut("Nantes");
    agent.stop()?;
    copy(&stolen, &tls)?;
    agent.launch()?;
    agent.wait_ready(SOON)?;
    until("it tries to come back", || told(&federation).is_ok_and(|told| told.contains("sites/Nantes/hosts/")));
    until("Berlin refuses its records", || {
        let metadata = federation.agent("Berlin").admin("/v1/status").and_then(|answer| answer.json());
        metadata.is_ok_and(|status| status["metadata"]["refused-count"].as_u64() > Some(0))
    });
    until("it is told why", || {
        site(federation.agent("Nantes"), "Berlin").is_some_and(|site| site.to_string().contains("revoked"))
    });
    forgotten(&federation);
    assert!(!serves(&federation, "Nantes", "Berlin"));

    // With a new token.
    cheops(federation.agent("Nantes"), &["site", "leave"], 0);
    let token = federation.issue("Berlin", &["Nantes"])?;
    cheops(federation.agent("Nantes"), &["site", "join", &token], 0);
    federation.wait_known(&["Berlin", "Paris", "Nantes"])?;
    until("all is as it was", || serves(&federation, "Nantes", "Berlin") && serves(&federation, "Berlin", "Nantes"));
    // Who alone signs can't just go.
    assert!(cheops(federation.agent("Berlin"), &["site", "leave"], 6).contains("the only one that signs"));
    Ok(())
}

/// The keys that the cluster has.
fn told(federation: &Federation) -> anyhow::Result<String> {
    federation.etcd().etcdctl(&["get", "--prefix", "--keys-only", "/cheops/lab/"])
}

fn forgotten(federation: &Federation) {
    for at in ["Berlin", "Paris"] {
        until(&format!("{at} forgets Nantes"), || site(federation.agent(at), "Nantes").is_none());
        let answer = federation.get(at, "app", "/echo", Some("{app: Nantes}")).expect("an answer");
        assert!(answer.status >= 400 && answer.site().is_none(), "{}", answer.text());
        let services = json(federation.agent(at), &["services"]).to_string();
        assert!(!services.contains("10.77.3.1"), "{services}");
    }
}

/// What is said of another site goes over the cluster; a dead one is taken away with what it had.
#[test]
fn others_say_how_a_site_stands_and_take_away_a_dead_one() -> anyhow::Result<()> {
    let mut federation = sites(EtcdCluster::today(), &["Berlin", "Paris", "Nantes"])?;
    federation.join_all()?;
    let stands =
        |at: &str| site(federation.agent(at), "Paris").map(|site| site["standing"].clone()).unwrap_or_default();
    let drained = json(federation.agent("Berlin"), &["site", "drain", "Paris"]);
    assert_eq!(
        (&drained["standing"], &drained["before"], &drained["waits"]),
        (&"drained".into(), &"active".into(), &false.into())
    );
    for at in ["Paris", "Nantes"] {
        until(&format!("{at} knows that Paris is drained"), || stands(at) == "drained");
    }
    until("Paris refuses what is new", || {
        let post = "POST /echo HTTP/1.1\r\nHost: app\r\nX-Scope: {app: Paris}\r\nContent-Length: 0\r\n\r\n";
        let answer = federation.connect("Nantes", "app").and_then(|mut client| client.exchange(post));
        answer.is_ok_and(|answer| answer.status == 503 && answer.text().contains("site-drained"))
    });
    // Paris's own word counts, too, whoever said the last; and another that doesn't sign has none.
    cheops(federation.agent("Paris"), &["site", "cordon"], 0);
    until("Berlin knows that Paris is cordoned", || stands("Berlin") == "cordoned");
    let said = cheops(federation.agent("Nantes"), &["site", "drain", "Paris"], 6);
    assert!(said.contains("only a host that signs") && said.contains("at that site itself"), "{said}");
    cheops(federation.agent("Berlin"), &["site", "uncordon", "Paris"], 0);
    until("Paris knows that it is active", || stands("Paris") == "active");

    assert!(
        cheops(federation.agent("Berlin"), &["site", "remove", "Paris", "--force"], 6).contains("Paris lives (paris)")
    );
    federation.agent_mut("Paris").kill9()?;
    let berlin = federation.agent("Berlin");
    // Its liveness is leased for half a minute.
    let gone = || {
        federation.etcd().etcdctl(&["get", "--prefix", "/cheops/lab/liveness/Paris"]).is_ok_and(|kept| kept.is_empty())
    };
    assert!(eventually(SOON * 2, gone), "Paris's lease doesn't end");
    until("Berlin knows it", || cheops(berlin, &["site", "remove", "Paris"], 2).contains("say --force"));
    let removed = json(berlin, &["site", "remove", "Paris", "--force"]);
    assert_eq!((&removed["name"], &removed["hosts"]), (&"Paris".into(), &serde_json::json!(["paris"])));
    cheops(berlin, &["site", "remove", "Paris", "--force"], 3);
    until("Nantes forgets Paris", || site(federation.agent("Nantes"), "Paris").is_none());
    // It comes to life again, and is nobody.
    federation.agent_mut("Paris").launch()?;
    federation.agent_mut("Paris").wait_ready(SOON)?;
    until("it is told why", || {
        site(federation.agent("Paris"), "Berlin").is_some_and(|site| site.to_string().contains("revoked"))
    });
    assert!(!serves(&federation, "Paris", "Berlin") && site(federation.agent("Nantes"), "Paris").is_none());
    Ok(())
}
