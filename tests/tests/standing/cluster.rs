//! The metadata cluster as `status` and `check` see it, and what is said of sites over it.

use std::time::Duration;

use cheops_tests::lab::{EtcdCluster, Federation, Offered, eventually};
use serde_json::Value;

use super::{SOON, ask, cheops, until};

/// Three sites over a cluster, each of whose agents knows its members.
fn over(cluster: EtcdCluster) -> anyhow::Result<Federation> {
    let federation = Federation::builder().service(Offered::new("app", 8080)).etcd(cluster).start()?;
    until_status(&federation, "members are told", |status| {
        let members = status["outlook"]["members"].as_array().is_some_and(|members| !members.is_empty());
        members && status["metadata"]["up"] == true && status["metadata"]["pending"] == 0
    });
    Ok(federation)
}

#[track_caller]
fn until_status(federation: &Federation, what: &str, mut holds: impl FnMut(&Value) -> bool) {
    let status = || federation.agent("Berlin").admin("/v1/status").and_then(|answer| answer.json());
    assert!(eventually(SOON, || status().is_ok_and(|status| holds(&status))), "{what}: {:?}", status());
}

/// What `cheops` says at Berlin, whatever its exit code.
fn said(federation: &Federation, line: &[&str]) -> String {
    said_at(federation, "Berlin", line)
}

fn said_at(federation: &Federation, at: &str, line: &[&str]) -> String {
    let output = federation.agent(at).cheops(line).expect("cheops runs");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn until_said(federation: &Federation, line: &[&str], parts: &[&str]) {
    let all = || parts.iter().all(|part| said(federation, line).contains(part));
    assert!(eventually(SOON, all), "{parts:?}: {}", said(federation, line));
}

/// Members at their sites by their addresses; who is gone is named, and what more would go with whom.
#[test]
fn a_member_that_is_gone_is_named_and_what_would_follow() -> anyhow::Result<()> {
    let federation = over(EtcdCluster::debian())?;
    let leader = federation.etcd().wait_leader(None)?;
    until_said(&federation, &["status"], &[&format!("{leader} (leads)"), "now: metadata writes yes, requests yes"]);
    let whole = "if Paris goes: metadata writes yes (2 of 3 members left, 2 needed), requests yes";
    until_said(&federation, &["status"], &[whole]);
    until_said(&federation, &["check"], &["any one site may go"]);

    federation.etcd().member("Nantes").kill()?;
    until_said(&federation, &["check"], &["warn  metadata-members", "2 of 3 members answer: Nantes is down"]);
    let lame = "if Paris goes: metadata writes no (1 of 3 members left, 2 needed), requests yes";
    until_said(&federation, &["status"], &["Nantes down", "now: metadata writes yes", lame]);

    federation.etcd().member("Paris").kill()?;
    until_said(&federation, &["check"], &["FAIL  metadata-members", "nothing can be written with less than 2"]);
    until_said(&federation, &["status"], &["Paris down", "now: metadata writes no, requests yes"]);
    requests_go_on(&federation)?;

    ["Paris", "Nantes"].iter().try_for_each(|site| federation.etcd().member(site).start())?;
    until_said(&federation, &["status"], &["now: metadata writes yes, requests yes", whole]);
    Ok(())
}

/// Whatever becomes of the cluster: without a scope, to another site, to one of two, by distance.
fn requests_go_on(federation: &Federation) -> anyhow::Result<()> {
    for (scope, site) in [
        (None, "Berlin"),
        (Some("{app: Paris}"), "Paris"),
        (Some("{app: Paris || Nantes}"), "Paris"),
        (Some("{app: around(Paris, 30ms)}"), "Paris"),
        (Some("{app: Nantes || around(Paris, 30ms)}"), "Nantes"),
    ] {
        let answer = federation.get("Berlin", "app", "/echo/1", scope)?;
        assert_eq!((answer.status, answer.site().as_deref()), (200, Some(site)), "{scope:?}");
    }
    Ok(())
}

/// Over the cluster a host that signs says how another site stands; without its majority each says so of itself alone.
#[test]
fn another_site_is_drained_and_cordoned_over_the_cluster() -> anyhow::Result<()> {
    let federation = Federation::builder().service(Offered::new("app", 8080)).joining(EtcdCluster::debian()).start()?;
    for site in ["Berlin", "Paris", "Nantes"] {
        let reached = || said_at(&federation, site, &["status"]).contains("etcd, connected to");
        assert!(eventually(SOON, reached), "{site}");
    }
    federation.join_all()?;
    for (at, of) in [("Berlin", "Paris"), ("Berlin", "Nantes"), ("Nantes", "Paris")] {
        let scope = format!("{{app: {of}}}");
        let served = || ask(&federation, at, "GET", "/echo/1", Some(&scope)).is_ok_and(|answer| answer.status == 200);
        assert!(eventually(SOON, served), "{at} learns of {of}'s service");
    }
    let told = cheops(&federation, "Nantes", &["site", "drain", "Paris"], 6);
    assert!(told.contains("only a host that signs"), "{told}");
    assert!(cheops(&federation, "Berlin", &["site", "drain", "Paris"], 0).contains("Paris is drained now"));
    until(&federation, "Nantes", "Paris", "drained");
    until(&federation, "Paris", "Paris", "drained");
    let post = |at: &str| ask(&federation, at, "POST", "/echo", Some("{app: Paris}"));
    for at in ["Berlin", "Nantes"] {
        let answer = post(at)?;
        assert_eq!((answer.status, answer.json()?["code"].as_str()), (503, Some("site-drained")), "{at}");
    }
    cheops(&federation, "Berlin", &["site", "cordon", "Paris"], 0);
    ["Paris", "Nantes", "Berlin"].iter().for_each(|at| until(&federation, at, "Paris", "cordoned"));
    let answer = post("Berlin")?;
    assert_eq!(answer.site().as_deref(), Some("Paris"), "what names it is served: {}", answer.text());
    cheops(&federation, "Berlin", &["site", "uncordon", "Paris"], 0);
    until(&federation, "Nantes", "Paris", "active");
    without_majority(&federation)
}

fn without_majority(federation: &Federation) -> anyhow::Result<()> {
    ["Paris", "Nantes"].iter().try_for_each(|site| federation.etcd().member(site).kill())?;
    until_status(federation, "the cluster is away", |status| status["metadata"]["up"] == false);
    let told = cheops(federation, "Berlin", &["site", "drain", "Paris"], 1);
    assert!(told.contains("metadata cluster"), "{told}");
    assert_eq!(super::site(federation, "Berlin", "Paris")?["standing"], "active");
    let told = said(federation, &["token", "issue", "Lyon"]);
    assert!(told.contains("metadata cluster") && !told.contains("cheops-1-"), "{told}");
    let told = cheops(federation, "Nantes", &["site", "drain"], 0);
    assert!(told.contains("other sites learn it when the metadata cluster is back"), "{told}");
    let answer = ask(federation, "Berlin", "POST", "/echo", Some("{app: Nantes}"))?;
    assert_eq!(answer.json()?["code"], "site-drained", "it holds at once, by its own agent");
    let told = cheops(federation, "Berlin", &["site", "revoke", "Paris"], 0);
    assert!(told.contains("other sites learn it as soon as the metadata cluster has it"), "{told}");
    let refused = || ask(federation, "Berlin", "GET", "/echo/1", Some("{app: Paris}")).is_ok_and(|a| a.status == 503);
    assert!(eventually(SOON, refused), "Paris is out here at once");
    ["Paris", "Nantes"].iter().try_for_each(|site| federation.etcd().member(site).start())?;
    let kept = || federation.etcd().etcdctl(&["get", "--print-value-only", "/cheops/lab/sites/Nantes/site"]);
    assert!(eventually(SOON, || kept().is_ok_and(|record| record.contains("drained"))), "{:?}", kept());
    Ok(())
}

/// Two members are worse than one: the loss of either ends all writes.
#[test]
fn two_members_are_refused_by_name() -> anyhow::Result<()> {
    let federation = over(EtcdCluster::debian().at(&["Berlin", "Paris"]))?;
    until_said(&federation, &["check"], &["FAIL  metadata-members", "the cluster has two members, "]);
    let told = cheops(&federation, "Berlin", &["check"], 1);
    for part in ["Berlin at Berlin", "Paris at Paris", "if either goes, nothing can be written", "→ Add a third"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = said(&federation, &["status"]);
    for line in [
        "if Paris goes: metadata writes no (1 of 2 members left, 2 needed), requests yes",
        "if Nantes goes: metadata writes yes (2 of 2 members left, 2 needed), requests yes",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    Ok(())
}

/// Timers by what members tell, distances by what agents measured; and members that an agent isn't told to ask.
#[test]
fn timers_too_tight_for_the_distances_and_missing_endpoints_are_told() -> anyhow::Result<()> {
    let tight = EtcdCluster::debian().timers(Duration::from_millis(50), Duration::from_millis(500));
    let one = |_: &str, table: &mut toml::Table| {
        let endpoints = table.get_mut("metadata").and_then(|metadata| metadata.get_mut("endpoints"));
        endpoints.and_then(toml::Value::as_array_mut).expect("endpoints").truncate(1);
    };
    let builder = Federation::builder().service(Offered::new("app", 8080)).etcd(tight).configure(one);
    let federation = builder.start()?;
    let tight = "its members say heartbeat 50 ms, election 500 ms; 6";
    until_said(&federation, &["check"], &["FAIL  metadata-timers", tight, "elections begin while the leader lives"]);
    let told = cheops(&federation, "Berlin", &["check"], 1);
    assert!(told.contains("warn  metadata-endpoints"), "{told}");
    assert!(told.contains("metadata.endpoints lacks 2 of 3 members: ") && told.contains("Nantes"), "{told}");
    Ok(())
}

/// etcd takes no writes while an alarm is raised: it is told, and whose it is.
#[test]
fn a_full_member_is_told() -> anyhow::Result<()> {
    for release in [EtcdCluster::debian(), EtcdCluster::today()] {
        let federation = over(release)?;
        let etcd = federation.etcd();
        let members: Value = serde_json::from_str(&etcd.etcdctl(&["member", "list", "--write-out", "json"])?)?;
        let mut members = members["members"].as_array().into_iter().flatten();
        let paris = members.find(|member| member["name"] == "Paris").expect("a member")["ID"].to_string();
        // A member with an alarm isn't healthy, so etcdctl wouldn't be let to it.
        let alarm = |action: &str| {
            let asked = format!(r#"{{"action":"{action}","memberID":"{paris}","alarm":"NOSPACE"}}"#);
            let url = format!("{}/v3/maintenance/alarm", etcd.member("Paris").client_url());
            federation.host("Paris").curl(&["-d", &asked, &url]).map(|answer| answer.status)
        };
        assert_eq!(alarm("ACTIVATE")?, 200);

        until_said(&federation, &["check"], &["FAIL  metadata-alarms", "Paris raises NOSPACE: nothing can be written"]);
        until_said(&federation, &["status"], &["Paris raises NOSPACE", "now: metadata writes no, requests yes"]);
        assert_eq!(federation.get("Berlin", "app", "/echo/1", Some("{app: Paris}"))?.status, 200);
        assert_eq!(alarm("DEACTIVATE")?, 200);
        let good = || !said(&federation, &["check"]).contains("metadata-alarms");
        assert!(eventually(SOON, good), "{}", said(&federation, &["check"]));
    }
    Ok(())
}
