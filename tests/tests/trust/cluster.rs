//! Over a real cluster of etcd: who is revoked is out everywhere, and what somebody writes there who may not is refused,
//! shown and counted, while everything else goes on.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cheops_agent::metadata::record::{HostRecord, Record, ServiceRecord};
use cheops_agent::metadata::seal::Seal;
use cheops_agent::metadata::{Key, key};
use cheops_agent::peer::PeerIdentity;
use cheops_agent::peer::trust::{Signed, Trust};
use cheops_tests::lab::{Federation, eventually, tell};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{FEDERATION, SITES, SOON, by_command, check, said};

/// AMENDMENTS 20 and issue 5: where the metadata cluster is reachable.
const WITHIN: Duration = Duration::from_secs(10);

fn serves(federation: &Federation, from: &str, to: &str) -> bool {
    let answer = federation.get(from, "app", "/echo", Some(&format!("{{app: {to}}}")));
    answer.is_ok_and(|answer| answer.site().as_deref() == Some(to))
}

/// Keys of records that a site's agent doesn't believe.
fn refused(federation: &Federation, at: &str) -> Vec<String> {
    let status = federation.agent(at).admin("/v1/status").and_then(|answer| answer.json()).unwrap_or_default();
    let refused = status["metadata"]["refused"].as_array().cloned().unwrap_or_default();
    refused.iter().map(|one| format!("{}: {}", one["what"], one["why"])).collect()
}

fn count(federation: &Federation, at: &str) -> f64 {
    federation.agent(at).metric("cheops_metadata_refused").ok().flatten().unwrap_or(-1.0)
}

fn full(key: &Key) -> String {
    key.full(FEDERATION)
}

fn kept(federation: &Federation, key: &str) -> anyhow::Result<String> {
    let value = federation.etcd().etcdctl(&["get", "--print-value-only", key])?;
    ensure!(!value.trim().is_empty(), "there is no {key}");
    Ok(value.trim_end_matches('\n').to_owned())
}

fn put(federation: &Federation, key: &str, value: &str) -> anyhow::Result<()> {
    federation.etcd().etcdctl(&["put", key, "--", value]).map(drop)
}

/// What a thief of a site's key signs, whatever the key of the record.
fn signed(federation: &Federation, site: &str, key: &Key, record: &Record) -> anyhow::Result<String> {
    let tls = federation.agent(site).files().directory().join("state/tls");
    let path = |name: &str| tls.join(name);
    let host = federation.host(site).name();
    let identity = PeerIdentity { federation: FEDERATION.into(), site: site.into(), host: host.into() };
    let trust = Trust::load(identity, &path("ca.pem"), &path("host.pem"), &path("host.key"), Default::default())?;
    let pen = (CertificateDer::from_pem_file(path("host.pem"))?, PrivateKeyDer::from_pem_file(path("host.key"))?);
    Ok(Signed::new(&trust, Some(pen), Default::default())?.seal(&full(key), &record.encode())?)
}

/// Waits until each of the sites shows `what`, with `why`, and has counted it.
fn shown(federation: &Federation, sites: &[&str], what: &str, why: &str) -> anyhow::Result<()> {
    for site in sites {
        let is = || {
            let told = refused(federation, site).iter().any(|told| told.contains(what) && told.contains(why));
            told && check(federation, site).contains(why) && count(federation, site) >= 1.0
        };
        ensure!(
            eventually(SOON, is),
            "{site}: {what} {why}: {:?} {}",
            refused(federation, site),
            check(federation, site)
        );
    }
    Ok(())
}

#[test]
fn a_revoked_site_is_out_at_every_site_within_ten_seconds() -> anyhow::Result<()> {
    let federation = by_command()?;
    for at in ["Berlin", "Nantes"] {
        ensure!(eventually(SOON, || serves(&federation, at, "Paris")), "{at} doesn't reach Paris");
    }
    let begin = Instant::now();
    let output = federation.agent("Berlin").cheops(&["site", "revoke", "Paris"])?;
    ensure!(output.status.success(), "{}", said(&output));
    let (mut links, mut records) = ([None; 2], [None; 2]);
    let all = eventually(WITHIN * 2, || {
        for (index, at) in ["Berlin", "Nantes"].iter().enumerate() {
            if links[index].is_none() && !serves(&federation, at, "Paris") && !serves(&federation, "Paris", at) {
                links[index] = Some(begin.elapsed());
            }
            let out = |told: &String| told.contains("liveness/Paris") && told.contains("revoked");
            if records[index].is_none() && refused(&federation, at).iter().any(out) {
                records[index] = Some(begin.elapsed());
            }
        }
        links.iter().chain(&records).all(Option::is_some)
    });
    ensure!(all, "links {links:?}, records {records:?}\n{:?}", refused(&federation, "Nantes"));
    for (index, at) in ["Berlin", "Nantes"].iter().enumerate() {
        tell(
            "trust",
            &format!(
                "revoked: at {at} links end after {:.1?}, records after {:.1?}",
                links[index].unwrap_or_default(),
                records[index].unwrap_or_default()
            ),
        );
    }
    ensure!(links.iter().chain(&records).flatten().all(|took| *took <= WITHIN), "links {links:?}, records {records:?}");
    let sites = || said(&federation.agent("Paris").cheops(&["sites", "-o", "wide"]).expect("cheops runs"));
    ensure!(eventually(SOON, || sites().contains("was revoked")), "{}", sites());
    ensure!(serves(&federation, "Berlin", "Nantes") && serves(&federation, "Nantes", "Berlin"), "others are out, too");
    ensure!(federation.get("Paris", "app", "/echo", None)?.site().as_deref() == Some("Paris"), "its own site");
    // Taking the record away brings nobody back.
    federation.etcd().etcdctl(&["del", "--prefix", &format!("{}revoked/", key::prefix(FEDERATION))])?;
    // What was written after it is seen: then so was that it went.
    put(&federation, &format!("{}nonsense", key::prefix(FEDERATION)), "x")?;
    shown(&federation, &["Berlin", "Nantes"], "nonsense", "none of ours")?;
    ensure!(!serves(&federation, "Nantes", "Paris"), "Paris is believed again");
    Ok(())
}

#[test]
fn what_is_written_by_whoever_may_not_is_refused_shown_and_counted() -> anyhow::Result<()> {
    let federation = by_command()?;
    ensure!(
        SITES.iter().all(|site| eventually(SOON, || count(&federation, site) == 0.0)),
        "{:?}",
        refused(&federation, "Berlin")
    );
    let service = |name: &str| Key::Service("Paris".into(), name.into());
    let lie = Record::Service(ServiceRecord {
        kind: None,
        profile: "rest".into(),
        endpoints: vec!["http://10.77.2.1:9999".into()],
        hosts: Default::default(),
        when_agent_down: "pass".into(),
        host: "client".into(),
        export: true,
        parameter: true,
    });
    // Without a signature; under another site's name; a record of another key.
    put(&federation, &full(&service("unsigned")), &lie.encode())?;
    let (ours, theirs) = (full(&service("app")), full(&Key::Service("Berlin".into(), "moved".into())));
    put(&federation, &theirs, &kept(&federation, &ours)?)?;
    let nantes = Key::Service("Nantes".into(), "stolen".into());
    put(&federation, &full(&nantes), &signed(&federation, "Paris", &nantes, &lie)?)?;
    let host = Key::Host("Nantes".into(), "nantes2".into());
    let record = HostRecord {
        peers: vec!["10.77.2.1:7117".into()],
        agent: "1".into(),
        certificate: None,
        signs: true,
        trusts: Vec::new(),
    };
    put(&federation, &full(&host), &signed(&federation, "Paris", &host, &Record::Host(record))?)?;
    let token = Key::Token("0a".into());
    put(&federation, &full(&token), &signed(&federation, "Paris", &token, &lie)?)?;
    put(&federation, &format!("{}nonsense", key::prefix(FEDERATION)), "x")?;
    for (what, why) in [
        ("unsigned", "it is not signed"),
        ("services/moved", "signature is wrong"),
        ("services/stolen", "only Nantes may write it"),
        ("hosts/nantes2", "only Nantes/nantes2 may write it"),
        ("tokens/0a", "only the federation's authority may write it"),
        ("nonsense", "none of ours"),
    ] {
        shown(&federation, &SITES, what, why)?;
    }
    for site in SITES {
        ensure!(count(&federation, site) >= 6.0, "{site} counts {}", count(&federation, site));
        let services = federation.agent(site).admin("/v1/services")?.text();
        ensure!(["unsigned", "moved", "stolen"].iter().all(|name| !services.contains(name)), "{services}");
        for to in SITES {
            ensure!(eventually(SOON, || serves(&federation, site, to)), "{site} doesn't reach {to}");
        }
    }
    Ok(())
}

#[test]
fn a_token_is_of_no_use_twice_though_its_record_be_put_back() -> anyhow::Result<()> {
    let federation = by_command()?;
    let tokens = format!("{}tokens/", key::prefix(FEDERATION));
    let before = federation.etcd().etcdctl(&["get", "--prefix", "--keys-only", &tokens])?;
    let token = federation.issue("Berlin", &["Paris", "--host", "p2"])?;
    let keys = federation.etcd().etcdctl(&["get", "--prefix", "--keys-only", &tokens])?;
    let key = keys.lines().find(|key| !key.is_empty() && !before.contains(key)).context("no record of the token")?;
    let record = kept(&federation, key)?;
    ensure!(!record.contains(&token), "the token is in its record");
    let (p2, _services) = federation.further("Paris", "p2", &[])?;
    let joins = p2.cheops(&["site", "join", &token])?;
    ensure!(joins.status.success(), "{}", said(&joins));
    // Who stole it comes too late, also with the record of before.
    let leave = p2.cheops(&["site", "leave"])?;
    ensure!(leave.status.success(), "{}", said(&leave));
    let again = |why: &str| -> anyhow::Result<()> {
        let stolen = p2.cheops(&["site", "join", &token])?;
        ensure!(!stolen.status.success() && said(&stolen).contains(why), "{}", said(&stolen));
        Ok(())
    };
    again("used")?;
    put(&federation, key, &record)?;
    shown(&federation, &["Berlin"], "tokens/", "before one that was already seen")?;
    again("used")?;
    // One that was taken back.
    let token = federation.issue("Berlin", &["Paris", "--host", "p2"])?;
    let listed = said(&federation.agent("Berlin").cheops(&["token", "list", "-o", "name"])?);
    for id in listed.lines() {
        federation.agent("Berlin").cheops(&["token", "revoke", id])?;
    }
    let stolen = p2.cheops(&["site", "join", &token])?;
    ensure!(!stolen.status.success() && said(&stolen).contains("used or revoked"), "{}", said(&stolen));
    Ok(())
}

#[test]
fn a_site_that_lies_about_its_services_is_not_believed() -> anyhow::Result<()> {
    let mut federation = by_command()?;
    // Its agent would take the lies away again.
    federation.agent_mut("Paris").kill9()?;
    let own = federation.address("Berlin", "app");
    let ip = own.ip();
    let lies = [
        "http://127.0.0.1:9000".to_owned(),
        format!("http://{own}"),
        format!("http://{ip}:9001"),
        "http://169.254.1.1:9".into(),
    ];
    let lie = Key::Service("Paris".into(), "lie".into());
    let record = Record::Service(ServiceRecord {
        kind: None,
        profile: "rest".into(),
        endpoints: lies.to_vec(),
        hosts: [("paris".into(), lies.to_vec())].into(),
        when_agent_down: "pass".into(),
        host: "client".into(),
        export: true,
        parameter: true,
    });
    put(&federation, &full(&lie), &signed(&federation, "Paris", &lie, &record)?)?;
    for (what, why) in [
        ("127.0.0.1", "loopback"),
        (own.to_string().as_str(), "an endpoint of this site"),
        (":9001", "an address of this host"),
        ("169.254.1.1", "link-local"),
    ] {
        shown(&federation, &["Berlin"], what, why)?;
    }
    ensure!(federation.get("Berlin", "app", "/echo", None)?.site().as_deref() == Some("Berlin"));
    ensure!(eventually(SOON, || serves(&federation, "Berlin", "Nantes")), "Berlin doesn't reach Nantes");
    Ok(())
}
