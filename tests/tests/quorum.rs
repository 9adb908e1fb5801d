//! A cluster of etcd over three sites, 20 to 60 ms apart: whatever becomes of it, requests are served as before, what is
//! written meanwhile is there afterwards, and what is known stays known.

#[path = "quorum/latency.rs"]
mod latency;
#[path = "quorum/lost.rs"]
mod lost;
#[path = "quorum/members.rs"]
mod members;

use std::time::Duration;

use cheops_tests::lab::{EtcdCluster, Federation, Offered, eventually};
use serde_json::Value;

/// Nothing takes longer, however busy the machine.
const SOON: Duration = Duration::from_secs(40);

const SITES: [&str; 3] = ["Berlin", "Paris", "Nantes"];

/// Three sites that know each other from the cluster, too.
fn three(cluster: EtcdCluster) -> anyhow::Result<Federation> {
    let federation = Federation::builder().service(Offered::new("app", 8080)).etcd(cluster).start()?;
    until_whole(&federation);
    Ok(federation)
}

/// The section `metadata` of a site's status.
fn metadata(federation: &Federation, at: &str) -> Value {
    let status = federation.agent(at).admin("/v1/status").and_then(|answer| answer.json());
    status.map(|status| status["metadata"].clone()).unwrap_or_default()
}

#[track_caller]
fn until(what: &str, federation: &Federation, at: &str, mut holds: impl FnMut(&Value) -> bool) {
    let seen = || holds(&metadata(federation, at));
    assert!(eventually(SOON, seen), "{at}: {what}: {}", metadata(federation, at));
}

/// Waits until every site knows every site's host, site, service, and that it lives, and has written all of its own.
#[track_caller]
fn until_whole(federation: &Federation) {
    for site in SITES {
        until("everything is known", federation, site, |said| {
            said["up"] == true && said["pending"] == 0 && said["records"].as_u64().is_some_and(|records| records >= 12)
        });
    }
}

/// Waits until the site says whether what is written is kept now.
#[track_caller]
fn until_up(federation: &Federation, at: &str, up: bool) {
    until(if up { "up" } else { "down" }, federation, at, |said| said["up"] == up);
}

/// Gives the site another service, by its file.
fn add_service(federation: &mut Federation, at: &str, name: &str) -> anyhow::Result<()> {
    let host = federation.host(at).clone();
    federation.agent_mut(at).reload(|table| {
        let services = table.get_mut("services").and_then(toml::Value::as_array_mut).expect("a list");
        // A port of its own: two services at one address are told apart by paths.
        let url = format!("http://{}", host.at(9000 + u16::try_from(services.len()).expect("few")));
        let mut more = toml::Table::new();
        more.insert("name".into(), name.into());
        more.insert("profile".into(), "rest".into());
        more.insert("endpoints".into(), toml::Table::from_iter([(at.to_owned(), toml::Value::from(url))]).into());
        services.push(more.into());
    })
}

/// Whether `at` knows a service of that name.
fn has_service(federation: &Federation, at: &str, name: &str) -> bool {
    let services = federation.agent(at).admin("/v1/services").and_then(|answer| answer.json()).unwrap_or_default();
    services["services"].as_array().into_iter().flatten().any(|service| service["name"] == name)
}

#[track_caller]
fn until_service(federation: &Federation, at: &str, name: &str) {
    assert!(eventually(SOON, || has_service(federation, at, name)), "{at} doesn't learn {name}");
}

/// The site serves its own, and what another one is asked for.
fn serves(federation: &Federation, at: &str, scope: &str) -> anyhow::Result<()> {
    let own = federation.get(at, "app", "/echo/1", None)?;
    anyhow::ensure!(own.status == 200, "{own:?}");
    let scoped = federation.get(at, "app", "/echo/1", Some(scope))?;
    anyhow::ensure!(scoped.status == 200, "{scope}: {scoped:?}");
    Ok(())
}
