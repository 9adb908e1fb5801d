//! Who is believed, until when, and what becomes of the secrets.

#[path = "trust/cluster.rs"]
mod cluster;
#[path = "trust/expired.rs"]
mod expired;
#[path = "trust/renewed.rs"]
mod renewed;
#[path = "trust/revoked.rs"]
mod revoked;
#[path = "trust/rotated.rs"]
mod rotated;
#[path = "trust/secrets.rs"]
mod secrets;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use cheops_agent::peer::PeerIdentity;
use cheops_agent::peer::trust::{Authority, Validity};
use cheops_tests::lab::{Answer, EtcdCluster, Federation, Offered, eventually};
use serde_json::Value;

/// Nothing takes longer, however busy the machine.
const SOON: Duration = Duration::from_secs(30);
const SITES: [&str; 3] = ["Berlin", "Paris", "Nantes"];
/// The federation that the lab's agents are of.
const FEDERATION: &str = "lab";

/// Berlin, Paris and Nantes as if each had joined by command, with certificates that are good for `life`. Berlin signs.
fn joined(life: Duration) -> anyhow::Result<Federation> {
    let authority = Arc::new(Authority::new(FEDERATION, Validity::days(2))?);
    Federation::builder()
        .service(Offered::new("app", 8080))
        .configure(move |site, table| {
            if let Err(error) = lay_down(&authority, site, table, life) {
                panic!("the certificates of {site}: {error:#}");
            }
        })
        .start()
}

/// Berlin, Paris and Nantes, which have joined by command over a cluster of etcd.
fn by_command() -> anyhow::Result<Federation> {
    let cluster = EtcdCluster::debian().tls();
    let federation = Federation::builder().service(Offered::new("app", 8080)).joining(cluster).start()?;
    let up = |site: &&str| {
        let status = federation.agent(site).admin("/v1/status").and_then(|answer| answer.json());
        status.is_ok_and(|status| status["metadata"]["up"] == true)
    };
    ensure!(eventually(SOON, || SITES.iter().all(up)), "the cluster isn't reached");
    federation.join_all()?;
    Ok(federation)
}

/// Puts certificates where joining puts them, and takes those of the lab out of the configuration.
fn lay_down(authority: &Authority, site: &str, table: &mut toml::Table, life: Duration) -> anyhow::Result<()> {
    let text = |name: &str| table.get(name).and_then(toml::Value::as_str).map(str::to_owned).context("a text");
    let directory = PathBuf::from(text("state-dir")?).join("tls");
    let identity =
        PeerIdentity { federation: FEDERATION.into(), site: site.into(), host: text("host")?.as_str().into() };
    let issued = authority.issue(&identity, Validity::lasting(life))?;
    std::fs::create_dir_all(&directory)?;
    write(&directory.join("ca.pem"), authority.certificate(), 0o644)?;
    write(&directory.join("host.pem"), &issued.certificate, 0o644)?;
    write(&directory.join("host.key"), &issued.key, 0o600)?;
    if site == "Berlin" {
        write(&directory.join("authority.key"), &authority.key(), 0o600)?;
    }
    let peer = table.get_mut("peer").and_then(toml::Value::as_table_mut).context("[peer]")?;
    peer.retain(|name, _| name == "listen");
    peer.insert("certificate-life".into(), format!("{}s", life.as_secs()).into());
    Ok(())
}

fn write(path: &Path, content: &str, mode: u32) -> anyhow::Result<()> {
    std::fs::write(path, content)?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?)
}

/// What the site's agent says of its own certificate.
fn certificate(federation: &Federation, site: &str) -> anyhow::Result<Value> {
    Ok(federation.agent(site).admin("/v1/status")?.json()?["certificate"].clone())
}

/// What `cheops check` prints at a site.
fn check(federation: &Federation, site: &str) -> String {
    federation.agent(site).cheops(&["check"]).map(|output| said(&output)).unwrap_or_default()
}

/// Both of what a command printed.
fn said(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What the agent says instead of a service.
fn problem(answer: &Answer) -> String {
    answer.json().map(|problem| problem["detail"].to_string()).unwrap_or_default()
}

fn serial(federation: &Federation, site: &str) -> Option<String> {
    certificate(federation, site).ok()?["serial"].as_str().map(str::to_owned)
}

/// Asks at `from` for the app at `to`, again and again, while `meanwhile` runs. How often, and what went wrong.
fn under_load<T>(
    federation: &Federation,
    ways: &[(&str, &str)],
    meanwhile: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, u64, Vec<String>)> {
    let (done, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|threads| {
        let loads: Vec<_> = ways
            .iter()
            .map(|(from, to)| {
                let (done, asked) = (&done, &asked);
                threads.spawn(move || {
                    let (scope, mut wrong) = (format!("{{app: {to}}}"), Vec::new());
                    while !done.load(Ordering::Relaxed) {
                        asked.fetch_add(1, Ordering::Relaxed);
                        match federation.get(from, "app", "/echo", Some(&scope)) {
                            Ok(answer) if answer.site().as_deref() == Some(*to) => {}
                            Ok(answer) => wrong.push(format!("{from} to {to}: {} {:?}", answer.status, answer.site())),
                            Err(error) => wrong.push(format!("{from} to {to}: {error:#}")),
                        }
                    }
                    wrong
                })
            })
            .collect();
        let outcome = meanwhile();
        done.store(true, Ordering::Relaxed);
        let mut wrong = Vec::new();
        for load in loads {
            wrong.extend(load.join().map_err(|_| anyhow::anyhow!("a load panicked"))?);
        }
        Ok((outcome?, asked.load(Ordering::Relaxed), wrong))
    })
}
