//! A site of several hosts: a decided request reaches a service on another host through that host's agent.

use cheops_agent::peer::PeerIdentity;
use cheops_agent::peer::trust::Validity;
use cheops_tests::lab::{Agent, Files, Service, Settings};

use super::*;

/// Paris's service is at its second host only, which has an agent of its own. The first host's agent is the one that
/// other sites know.
fn split() -> anyhow::Result<(Federation, Service, Agent)> {
    const SECOND: &str = "10.77.2.2";
    let federation = Federation::builder()
        .service(Offered::new("app", 8080))
        .configure(|site, table| {
            let services = table.get_mut("services").and_then(|services| services.as_array_mut()).expect("services");
            let app = services[0].get_mut("endpoints").and_then(|endpoints| endpoints.as_table_mut()).expect("a table");
            app.insert("Paris".into(), format!("http://{SECOND}:8080").into());
            if site == "Paris" {
                let sites = table.get_mut("sites").and_then(|sites| sites.as_array_mut()).expect("sites");
                let own =
                    [("name", "Paris".into()), ("peer", toml::Value::Array(vec![format!("{SECOND}:7117").into()]))];
                sites.push(toml::Value::Table(own.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()));
            }
        })
        .start()?;
    let second = federation.world().host("Paris", "second")?;
    assert_eq!(second.at(0).ip().to_string(), SECOND);
    let service = Service::start(&second, "app", &[second.at(8080)])?;
    let identity = PeerIdentity { federation: "lab".into(), site: "Paris".into(), host: "second".into() };
    let issued = federation.authority().issue(&identity, Validity::days(1))?;
    let sites = [("Berlin", "10.77.1.1:7117"), ("Nantes", "10.77.3.1:7117")];
    let sites = sites.map(|(site, peer)| (site.to_owned(), vec![peer.to_owned()])).into();
    let endpoints = [("Berlin", "10.77.1.1"), ("Paris", SECOND), ("Nantes", "10.77.3.1")];
    let endpoints = endpoints.map(|(site, host)| (site.to_owned(), format!("http://{host}:8080").into()));
    let app = [("name", "app".into()), ("endpoints", toml::Value::Table(endpoints.into_iter().collect()))];
    let services = vec![app.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()];
    let files = Files::write(&second, Settings { peer: Some((federation.authority(), issued)), sites, services })?;
    let agent = Agent::start(&second, files)?;
    Ok((federation, service, agent))
}

#[test]
fn a_service_on_another_host_is_reached_through_that_hosts_agent() -> anyhow::Result<()> {
    let (federation, service, agent) = split()?;
    let body = "b".repeat(100_000);
    let mut client = federation.connect("Berlin", "app")?;
    let sent = request("POST", "/echo", "{app: Paris}", &body);
    let answer = client.exchange(&sent)?;
    assert_eq!(answer.header("x-cheops-site").as_deref(), Some("Paris"));
    assert!(answer.text() == sent.replace("X-Scope: {app: Paris}\r\n", ""));
    // The second host's agent dialled: it shows in its log under the request's id, and the service saw the first host.
    let id = answer.header("x-cheops-request").unwrap_or_default();
    agent.wait_log(&id, SOON)?;
    assert_eq!(service.requests()[0].peer.ip(), federation.host("Paris").at(0).ip());
    Ok(())
}

#[test]
fn a_second_host_whose_agent_is_dead_is_an_unreachable_peer() -> anyhow::Result<()> {
    let (federation, service, mut agent) = split()?;
    agent.kill9()?;
    let answer = federation.get("Berlin", "app", "/", Some("{app: Paris}"))?;
    let (code, detail) = problem(&answer)?;
    assert_eq!(code, "peer-unreachable");
    assert!(detail.contains("10.77.2.2"), "{detail}");
    assert!(service.requests().is_empty());
    Ok(())
}
