//! Ready without the metadata cluster: it is away, or something is wrong on the way to it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use cheops_tests::lab::{EtcdCluster, Federation, eventually};
use serde_json::Value;
use toml::Table;

use super::{QUICK, SOON, app, ready, serves, status};

fn metadata(federation: &Federation, at: &str) -> Value {
    status(federation, at).map(|status| status["metadata"].clone()).unwrap_or_default()
}

/// Every peer and every member is gone: an agent that starts then is ready as soon, and knows what it knew.
#[test]
fn an_agent_is_ready_without_any_peer_and_without_its_cluster() -> anyhow::Result<()> {
    let mut federation = Federation::builder().service(app()).etcd(EtcdCluster::today()).start()?;
    let known = |said: &Value| said["records"].as_u64() >= Some(12) && said["pending"] == 0;
    assert!(eventually(SOON, || known(&metadata(&federation, "Berlin"))), "{}", metadata(&federation, "Berlin"));
    // The copy on the disk follows within a second or so.
    let flushed = Instant::now();
    assert!(eventually(SOON, || flushed.elapsed().as_secs() >= 3));
    for member in federation.etcd().members() {
        member.kill()?;
    }
    federation.world().isolate("Berlin", true);
    let down = |federation: &Federation| metadata(federation, "Berlin")["up"] == false;
    assert!(eventually(SOON, || down(&federation)));
    assert!(ready(&federation, "Berlin"), "that it went changes nothing");
    serves(&federation, "Berlin");

    let begin = Instant::now();
    federation.agent_mut("Berlin").restart()?;
    assert!(begin.elapsed() < QUICK, "a restart took {:?}", begin.elapsed());
    assert!(ready(&federation, "Berlin"));
    serves(&federation, "Berlin");
    let said = metadata(&federation, "Berlin");
    assert!(said["up"] == false && said["complete"] == true && said["records"].as_u64() >= Some(9), "{said}");
    assert!(said["age-seconds"].as_f64() > Some(1.0), "the age goes on over a restart: {said}");

    let begin = Instant::now();
    federation.agent_mut("Berlin").reload(|table| {
        table.insert("timeouts".into(), toml::toml! { connect = "3s" }.into());
    })?;
    assert!(begin.elapsed() < QUICK, "a reload took {:?}", begin.elapsed());
    assert!(ready(&federation, "Berlin"));
    serves(&federation, "Berlin");

    // A federation that was never seen is no reason to wait, either.
    federation.agent_mut("Paris").stop()?;
    std::fs::remove_file(federation.agent("Paris").files().directory().join("state/metadata.redb"))?;
    let begin = Instant::now();
    federation.agent_mut("Paris").restart()?;
    assert!(begin.elapsed() < QUICK, "a first start took {:?}", begin.elapsed());
    serves(&federation, "Paris");
    assert_eq!(metadata(&federation, "Paris")["complete"], false);
    Ok(())
}

fn secret(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
}

/// The agent runs, and says what is wrong and what is to be done.
#[track_caller]
fn says(federation: &mut Federation, what: &str, expected: &str, change: impl FnOnce(&mut Table)) {
    let agent = federation.agent_mut("Berlin");
    agent.configure(|table| change(table["metadata"].as_table_mut().expect("a table"))).expect("written");
    let begin = Instant::now();
    agent.restart().expect("ready");
    assert!(begin.elapsed() < QUICK, "{what}: a restart took {:?}", begin.elapsed());
    let said =
        |federation: &Federation| metadata(federation, "Berlin")["why-not"].as_str().unwrap_or_default().to_owned();
    let right = eventually(SOON, || said(federation).contains(expected));
    assert!(right, "{what}: {}", metadata(federation, "Berlin"));
    println!("{what}: {}", said(federation));
    assert!(!said(federation).contains("secret-of"), "{what}");
    serves(federation, "Berlin");
}

#[test]
fn an_agent_is_ready_whatever_is_wrong_on_the_way_to_its_cluster_and_says_what() -> anyhow::Result<()> {
    let cluster = EtcdCluster::debian().tls().users().at(&["Berlin"]);
    let mut federation = Federation::builder().sites(&["Berlin", "Paris"]).service(app()).etcd(cluster).start()?;
    let up = |federation: &Federation| metadata(federation, "Berlin")["up"] == true;
    assert!(eventually(SOON, || up(&federation)), "{}", metadata(&federation, "Berlin"));
    let right = federation.etcd().section("Berlin");
    let directory = federation.agent("Berlin").files().directory().to_owned();

    secret(&directory.join("wrong.password"), "secret-of-nobody\n")?;
    let wrong = directory.join("wrong.password").to_string_lossy().into_owned();
    says(&mut federation, "a wrong password", "see [metadata] user and password-file", |table| {
        table.insert("password-file".into(), wrong.into());
    });
    says(&mut federation, "no password file", "No such file", |table| {
        table.insert("password-file".into(), "/nonexistent/password".into());
    });
    secret(&directory.join("other-ca.pem"), federation.authority().certificate())?;
    let other = directory.join("other-ca.pem").to_string_lossy().into_owned();
    says(&mut federation, "a wrong authority", "[metadata] ca is not the authority", |table| {
        *table = right.clone();
        table.insert("ca".into(), other.into());
    });
    says(&mut federation, "no certificate", "see [metadata] cert and key", |table| {
        *table = right.clone();
        table.remove("cert");
        table.remove("key");
    });
    says(&mut federation, "plain text to TLS", "write https in [metadata] endpoints", |table| {
        *table = right.clone();
        let endpoint = table["endpoints"][0].as_str().expect("a URL").replace("https", "http");
        table.insert("endpoints".into(), endpoint.into());
        ["ca", "cert", "key"].iter().for_each(|key| drop(table.remove(*key)));
    });
    // Where members tell their metrics they talk plain text.
    let plain = format!("https://{}", federation.host("Berlin").at(2381));
    says(&mut federation, "TLS to plain text", "write http in [metadata] endpoints", |table| {
        *table = right.clone();
        table.insert("endpoints".into(), plain.into());
    });

    // What is right again is taken up without anything else.
    federation.agent_mut("Berlin").configure(|table| drop(table.insert("metadata".into(), right.clone().into())))?;
    federation.agent_mut("Berlin").restart()?;
    assert!(eventually(SOON, || up(&federation)), "{}", metadata(&federation, "Berlin"));
    Ok(())
}
