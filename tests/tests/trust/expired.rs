//! A certificate that has ended.

use std::time::Duration;

use anyhow::ensure;
use cheops_tests::lab::eventually;

use super::{SOON, check, joined, problem, write};

/// Nobody renews it: the one who signs is gone, and the host's file names the certificate.
#[test]
fn an_expired_certificate_is_refused_both_ways_and_told() -> anyhow::Result<()> {
    let mut federation = joined(Duration::from_secs(3600))?;
    let identity = cheops_agent::peer::PeerIdentity {
        federation: super::FEDERATION.into(),
        site: "Paris".into(),
        host: federation.host("Paris").name().into(),
    };
    let tls = federation.agent("Berlin").files().directory().join("state/tls");
    let read = |name: &str| std::fs::read_to_string(tls.join(name));
    let authority = cheops_agent::peer::trust::Authority::from_pem(&read("ca.pem")?, &read("authority.key")?)?;
    let life = cheops_agent::peer::trust::Validity::lasting(Duration::from_secs(10));
    let issued = authority.issue(&identity, life)?;
    let agent = federation.agent_mut("Paris");
    let directory = agent.files().directory().to_owned();
    write(&directory.join("short.pem"), &issued.certificate, 0o644)?;
    write(&directory.join("short.key"), &issued.key, 0o600)?;
    write(&directory.join("short-ca.pem"), authority.certificate(), 0o644)?;
    agent.configure(|table| {
        let peer = table.get_mut("peer").and_then(toml::Value::as_table_mut).expect("[peer]");
        for (name, file) in [("ca", "short-ca.pem"), ("cert", "short.pem"), ("key", "short.key")] {
            peer.insert(name.into(), directory.join(file).to_string_lossy().into_owned().into());
        }
    })?;
    agent.restart()?;
    let ask = |from: &str, to: &str| federation.get(from, "app", "/echo", Some(&format!("{{app: {to}}}")));
    let served = |from: &str, to: &str| ask(from, to).is_ok_and(|answer| answer.site().as_deref() == Some(to));
    ensure!(eventually(Duration::from_secs(9), || served("Berlin", "Paris")), "it is not believed while it is good");
    for (from, to) in [("Berlin", "Paris"), ("Paris", "Berlin")] {
        let told = || ask(from, to).is_ok_and(|answer| answer.status == 503 && problem(&answer).contains("expired"));
        ensure!(eventually(SOON, told), "{from} to {to}: {}", problem(&ask(from, to)?));
    }
    ensure!(check(&federation, "Paris").contains("it has expired"), "{}", check(&federation, "Paris"));
    ensure!(served("Berlin", "Nantes") && served("Nantes", "Berlin"), "others are out, too");
    ensure!(ask("Paris", "Paris")?.site().as_deref() == Some("Paris"), "its own site");
    Ok(())
}
