//! Three sites join in three commands, and work together from then on.

use std::time::Instant;

use super::*;

const SITES: [&str; 3] = ["Berlin", "Paris", "Nantes"];

/// Each file names nothing but its own site and services; all else is learned. etcd is behind TLS, and each site's user may
/// write what is its own alone.
#[test]
fn three_sites_join_in_three_commands_and_serve_each_other() -> anyhow::Result<()> {
    let federation = Federation::builder()
        .service(Offered::new("app", 8080))
        .service(Offered::new("archive", 8090).at(&["Paris"]))
        .joining(EtcdCluster::today().tls().users())
        .start()?;
    let begin = Instant::now();
    federation.join_all()?;
    for from in SITES {
        for to in SITES {
            until(&format!("{to} serves what {from} asks"), || serves(&federation, from, to));
        }
    }
    tell("membership", &format!("three sites join and serve each other after {:?}", begin.elapsed()));
    for at in SITES {
        let agent = federation.agent(at);
        let said = cheops(agent, &["status"], 0);
        let line = if at == "Berlin" { "lab, signs" } else { "lab" };
        assert!(said.lines().any(|told| told.starts_with("federation") && told.ends_with(line)), "{said}");
        let membership = agent.admin("/v1/membership")?.json()?;
        assert_eq!((&membership["state"], &membership["signs"]), (&"joined".into(), &(at == "Berlin").into()));
        let life = agent.admin("/v1/status")?.json()?["certificate"]["expires-seconds"].as_i64();
        assert!(life.is_some_and(|life| life <= 720 * 3600), "the life that the configuration says: {life:?}");
    }
    learned(&federation)?;
    kept(&federation)
}

/// A service that no other site's file names is known at all of them, and asked by scope.
fn learned(federation: &Federation) -> anyhow::Result<()> {
    let at = federation.address("Paris", "archive");
    for from in ["Berlin", "Nantes"] {
        let ask = || {
            let request = format!("GET /echo HTTP/1.1\r\nHost: {at}\r\nX-Scope: {{archive: Paris}}\r\n\r\n");
            federation.host(from).connect(at)?.exchange(request)
        };
        let served = || ask().is_ok_and(|answer| answer.status == 200 && answer.site().as_deref() == Some("Paris"));
        until(&format!("{from} reaches Paris's archive"), served);
        let services = json(federation.agent(from), &["services"]);
        assert!(services.to_string().contains(&at.to_string()), "{services}");
    }
    let seen = federation.service("Paris", "archive").requests();
    assert!(!seen.is_empty() && seen.iter().all(|seen| !String::from_utf8_lossy(&seen.raw).contains("X-Scope")));
    Ok(())
}

/// No key and no secret is in the cluster, and every record is believed everywhere.
fn kept(federation: &Federation) -> anyhow::Result<()> {
    let all = federation.etcd().etcdctl(&["get", "--prefix", "/cheops/"])?;
    for kept in ["/federation", "/sites/Paris/hosts/paris", "/sites/Paris/services/archive", "/liveness/Nantes/nantes"]
    {
        assert!(all.contains(kept), "{kept} isn't in\n{all}");
    }
    assert!(!all.contains("PRIVATE KEY") && !all.contains("cheops-1-"), "{all}");
    for at in SITES {
        let metadata = federation.agent(at).admin("/v1/status")?.json()?["metadata"].clone();
        assert_eq!(metadata["refused-count"], 0, "{at}: {metadata}");
    }
    Ok(())
}

/// Two sites, with what the README says, typed as it stands there.
#[test]
fn the_commands_of_the_readme_are_these() -> anyhow::Result<()> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"))?;
    let (_, part) = readme.split_once("### Sites that join").expect("the part");
    let (part, _) = part.split_once("\n### ").expect("the next part");
    let federation = sites(EtcdCluster::debian(), &["Berlin", "Paris"])?;
    let mut token = String::new();
    let mut typed = 0;
    for line in part.lines().filter_map(|line| line.strip_prefix("cheops ")) {
        let (line, comment) = line.split_once('#').expect("each says where it is typed");
        let at = if comment.contains("Paris") && !comment.contains("Berlin") { "Paris" } else { "Berlin" };
        let words: Vec<&str> =
            line.split_whitespace().map(|word| if word == "cheops-1-…" { &token } else { word }).collect();
        let said = cheops(federation.agent(at), &words, 0);
        if words.starts_with(&["token", "issue"]) {
            token = said.trim().to_owned();
        }
        typed += 1;
    }
    assert!(typed >= 3, "{typed} commands");
    until("they serve each other", || serves(&federation, "Berlin", "Paris") && serves(&federation, "Paris", "Berlin"));
    Ok(())
}
