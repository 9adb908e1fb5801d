//! Who may ask whom.

use cheops_agent::peer::PeerIdentity;
use cheops_agent::peer::trust::{Authority, Issued, Validity};

use super::*;
use cheops_tests::lab::eventually;

fn identity(site: &str, host: &str) -> PeerIdentity {
    PeerIdentity { federation: "lab".into(), site: site.into(), host: host.into() }
}

/// Gives a site's agent other certificates, and restarts it with them.
fn recertify(federation: &mut Federation, site: &str, authority: &str, issued: &Issued) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let agent = federation.agent_mut(site);
    let directory = agent.files().directory().to_owned();
    std::fs::write(directory.join("ca.pem"), authority)?;
    std::fs::write(directory.join("cert.pem"), &issued.certificate)?;
    std::fs::write(directory.join("key.pem"), &issued.key)?;
    std::fs::set_permissions(directory.join("key.pem"), std::fs::Permissions::from_mode(0o600))?;
    agent.restart()
}

fn events(federation: &Federation, site: &str, event: &str) -> f64 {
    let metric = format!("cheops_peer_events_total{{event=\"{event}\"");
    federation.agent(site).metric(&metric).ok().flatten().unwrap_or(0.0)
}

/// An agent of another authority, in all else alike: refused both ways, counted, and nothing of a request reaches it.
#[test]
fn an_agent_of_another_authority_is_refused_and_counted() -> anyhow::Result<()> {
    let mut federation = three()?;
    let strangers = Authority::new("lab", Validity::days(1))?;
    let issued = strangers.issue(&identity("Nantes", "nantes"), Validity::days(1))?;
    recertify(&mut federation, "Nantes", strangers.certificate(), &issued)?;
    for (at, to) in [("Berlin", "Nantes"), ("Nantes", "Berlin")] {
        let ask = || federation.get(at, "app", "/", Some(&format!("{{app: {to}}}")));
        let answer = ask()?;
        assert_eq!((answer.status, problem(&answer)?.0.as_str()), (503, "peer-unreachable"));
        // At first the reason may still be that the agent was being restarted.
        let told =
            |answer: &Answer| problem(answer).is_ok_and(|(_, detail)| detail.contains(to) && detail.contains("TLS"));
        assert!(eventually(SOON, || ask().is_ok_and(|answer| told(&answer))), "{}", ask()?.text());
        assert!(federation.service(to, "app").requests().is_empty());
    }
    let counted = || events(&federation, "Berlin", "handshake-failed") >= 1.0;
    assert!(eventually(SOON, counted), "{}", federation.agent("Berlin").admin("/metrics")?.text());
    assert_eq!(federation.get("Nantes", "app", "/", None)?.status, 200, "local first");
    assert_eq!(federation.get("Berlin", "app", "/", Some("{app: Paris}"))?.status, 200);
    Ok(())
}

/// Nantes's agent where Paris's is expected: a good certificate of the wrong site.
#[test]
fn the_dialled_site_must_be_the_certificates_site() -> anyhow::Result<()> {
    let federation = Federation::builder()
        .service(Offered::new("app", 8080))
        .configure(|site, table| {
            if site == "Berlin" {
                let sites = table.get_mut("sites").and_then(|sites| sites.as_array_mut()).expect("sites");
                let paris = sites.iter_mut().find(|site| site["name"].as_str() == Some("Paris")).expect("Paris");
                paris["peer"] = toml::Value::Array(vec!["10.77.3.1:7117".into()]);
            }
        })
        .start()?;
    let answer = federation.get("Berlin", "app", "/", Some("{app: Paris}"))?;
    let (code, detail) = problem(&answer)?;
    assert_eq!(code, "peer-unreachable");
    assert!(detail.contains("cheops://lab/Nantes/nantes") && detail.contains("Paris"), "{detail}");
    assert!(federation.service("Nantes", "app").requests().is_empty());
    Ok(())
}

/// Peers reach only what their site offers.
#[test]
fn a_service_that_is_not_exported_is_not_reached() -> anyhow::Result<()> {
    let federation = Federation::builder()
        .service(Offered::new("app", 8080))
        .configure(|site, table| {
            let services = table.get_mut("services").and_then(|services| services.as_array_mut()).expect("services");
            services[0].as_table_mut().expect("a table").insert("export".into(), (site != "Paris").into());
        })
        .start()?;
    let answer = federation.get("Berlin", "app", "/", Some("{app: Paris}"))?;
    let (code, detail) = problem(&answer)?;
    assert_eq!((answer.status, code.as_str()), (403, "not-exported"));
    assert!(detail.contains("Paris") && detail.contains("app"), "{detail}");
    assert!(federation.service("Paris", "app").requests().is_empty());
    assert_eq!(federation.get("Paris", "app", "/", Some("{app: Berlin}"))?.site().as_deref(), Some("Berlin"));
    Ok(())
}
