//! Records over a real cluster of etcd: what waits there outlives a crash, ages go on, nothing is forgotten, and what is too
//! much is left out.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Instant;

use anyhow::Context as _;
use cheops_tests::lab::{EtcdCluster, Federation, Offered, eventually};
use serde_json::Value;

use super::{SOON, findings};

fn two(cluster: EtcdCluster) -> anyhow::Result<Federation> {
    let federation =
        Federation::builder().sites(&["Berlin", "Paris"]).service(Offered::new("app", 8080)).etcd(cluster).start()?;
    for site in ["Berlin", "Paris"] {
        until(&federation, site, "everything", |said| {
            said["up"] == true && said["pending"] == 0 && said["records"].as_u64() >= Some(8)
        });
    }
    Ok(federation)
}

fn metadata(federation: &Federation, at: &str) -> Value {
    super::metadata(federation.agent(at)).unwrap_or_default()
}

#[track_caller]
fn until(federation: &Federation, at: &str, what: &str, mut holds: impl FnMut(&Value) -> bool) {
    assert!(eventually(SOON, || holds(&metadata(federation, at))), "{at}: {what}: {}", metadata(federation, at));
}

fn standing(federation: &Federation, at: &str, of: &str) -> String {
    let sites = federation.agent(at).admin("/v1/sites").and_then(|sites| sites.json()).unwrap_or_default();
    let found = sites["sites"].as_array().into_iter().flatten().find(|site| site["name"] == of).cloned();
    found.unwrap_or_default()["standing"].as_str().unwrap_or_default().to_owned()
}

/// The file follows within a second or so.
fn saved() {
    let begin = Instant::now();
    eventually(SOON, || begin.elapsed().as_secs() >= 3);
}

#[test]
fn what_waits_for_the_cluster_outlives_kill_9() -> anyhow::Result<()> {
    let mut federation = two(EtcdCluster::debian())?;
    // One of two is no quorum.
    federation.etcd().member("Paris").kill()?;
    until(&federation, "Berlin", "down", |said| said["up"] == false);
    let output = federation.agent("Berlin").cheops(&["site", "cordon"])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    until(&federation, "Berlin", "it waits", |said| said["pending"].as_u64() >= Some(1));
    federation.agent_mut("Berlin").kill9()?;
    federation.agent_mut("Berlin").restart()?;
    assert_eq!(standing(&federation, "Berlin", "Berlin"), "cordoned", "it counts, though no cluster has it");
    assert!(metadata(&federation, "Berlin")["pending"].as_u64() >= Some(1));
    assert_eq!(standing(&federation, "Paris", "Berlin"), "active");

    federation.etcd().member("Paris").start()?;
    assert!(eventually(SOON, || standing(&federation, "Paris", "Berlin") == "cordoned"));
    until(&federation, "Berlin", "nothing waits", |said| said["pending"] == 0);
    Ok(())
}

#[test]
fn the_age_of_what_is_known_goes_on_over_a_restart() -> anyhow::Result<()> {
    let mut federation = two(EtcdCluster::today())?;
    saved();
    for member in federation.etcd().members() {
        member.kill()?;
    }
    until(&federation, "Berlin", "down", |said| said["up"] == false);
    let age = |federation: &Federation| metadata(federation, "Berlin")["age-seconds"].as_f64().unwrap_or_default();
    assert!(eventually(SOON, || age(&federation) > 4.0));
    let before = (Instant::now(), age(&federation));
    federation.agent_mut("Berlin").kill9()?;
    federation.agent_mut("Berlin").restart()?;
    let said = metadata(&federation, "Berlin");
    let grown = before.1 + before.0.elapsed().as_secs_f64();
    // The time of the last contact is saved each 30 s: what is said may be older than it is, and never younger.
    assert!(age(&federation) > before.1 && age(&federation) < grown + 40.0, "{} and {grown}", age(&federation));
    assert!(said["complete"] == true && said["records"].as_u64() >= Some(6), "{said}");
    assert!(findings(federation.agent("Berlin"), "metadata")?.iter().any(|found| {
        found["found"].as_str().is_some_and(|text| text.contains("not connected") && text.contains("s old"))
    }));
    Ok(())
}

#[test]
fn a_cluster_that_was_wiped_while_the_agent_was_down_makes_it_forget_nothing() -> anyhow::Result<()> {
    let mut federation = two(EtcdCluster::today())?;
    saved();
    federation.agent_mut("Berlin").kill9()?;
    federation.agent_mut("Paris").kill9()?;
    federation.etcd().begin_anew(None)?;
    federation.agent_mut("Berlin").restart()?;
    until(&federation, "Berlin", "its own is written again", |said| said["up"] == true && said["pending"] == 0);
    let said = metadata(&federation, "Berlin");
    assert!(said["stale"].as_u64() >= Some(3) && said["lost"].is_u64(), "Paris's are known, and old: {said}");
    assert_eq!(standing(&federation, "Berlin", "Paris"), "active");
    federation.agent_mut("Paris").restart()?;
    until(&federation, "Berlin", "all is as before", |said| said["stale"] == 0 && said["records"].as_u64() >= Some(8));
    Ok(())
}

/// Runs `etcdctl` with these operations, some at a time, as one transaction takes no more than 128.
fn operations(federation: &Federation, all: &[String]) -> anyhow::Result<()> {
    let member = federation.etcd().member("Berlin");
    for some in all.chunks(100) {
        let mut command = member.host().command("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &member.client_url(), "txn"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
        let script = format!("\n{}\n\n\n", some.join("\n"));
        child.stdin.take().context("its input")?.write_all(script.as_bytes())?;
        anyhow::ensure!(child.wait()?.success(), "etcdctl txn");
    }
    Ok(())
}

/// More than four pages of what nobody signed, some of it too large.
#[test]
fn what_is_too_much_is_left_out_counted_and_said() -> anyhow::Result<()> {
    let mut federation = two(EtcdCluster::debian())?;
    let key = |number: usize| format!("/cheops/lab/sites/Nantes/services/x{number:04}");
    let junk: Vec<String> = (0..1100).map(|number| format!("put {} {{}}", key(number))).collect();
    operations(&federation, &junk)?;
    until(&federation, "Berlin", "76 more than a site may have", |said| said["left-out"] == 76);
    // The same by the list, in pages.
    let large = format!("put /cheops/lab/sites/Nantes/site {}", "x".repeat(300_000));
    let long = format!("put /cheops/lab/tokens/{} {{}}", "k".repeat(2000));
    operations(&federation, &[large, long])?;
    federation.agent_mut("Berlin").restart()?;
    until(&federation, "Berlin", "its own, Paris's, and what is left out", |said| {
        said["up"] == true && said["left-out"] == 78 && said["records"].as_u64() >= Some(8) && said["pending"] == 0
    });
    let said = metadata(&federation, "Berlin");
    assert!(said["refused-count"].as_u64() >= Some(1100), "{said}");
    let found = findings(federation.agent("Berlin"), "metadata")?;
    assert!(
        found.iter().any(|found| found["found"].as_str().is_some_and(|text| text.contains("78 records"))),
        "{found:?}"
    );
    assert_eq!(federation.agent("Berlin").metric("cheops_metadata_left_out")?, Some(78.0));
    for scope in [None, Some("{app: Paris}")] {
        assert_eq!(federation.get("Berlin", "app", "/x", scope)?.status, 200);
    }

    federation.etcd().etcdctl(&["del", "--prefix", "/cheops/lab/sites/Nantes/"])?;
    federation.etcd().etcdctl(&["del", "--prefix", "/cheops/lab/tokens/"])?;
    until(&federation, "Berlin", "nothing is left out", |said| said["left-out"] == 0 && said["refused-count"] == 0);
    Ok(())
}
