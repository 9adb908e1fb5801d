//! A site of two hosts: an agent that was not told of a scoped request asks the other one before it takes a call for local.

use std::time::Instant;

use cheops_agent::peer::PeerIdentity;
use cheops_agent::peer::trust::Validity;
use cheops_tests::lab::{Agent, Files, Settings};

use super::*;

const ID: &str = "X-Openstack-Request-Id: req-0a1b2c3d-0000-4111-8222-0123456789ab\r\n";
const UNKNOWN: &str = "X-Openstack-Request-Id: req-0a1b2c3d-0000-4111-8222-0123456789ff\r\n";

/// Another host of Berlin, whose agent the first one doesn't know: it tells it nothing. `more` are further agents of the
/// site, as it believes.
fn second(federation: &Federation, more: &[String]) -> anyhow::Result<Agent> {
    let host = federation.world().host("Berlin", "second")?;
    let identity = PeerIdentity { federation: "lab".into(), site: "Berlin".into(), host: "second".into() };
    let issued = federation.authority().issue(&identity, Validity::days(1))?;
    let peer = |site: &str| federation.host(site).at(7117).to_string();
    let mut sites = ["Berlin", "Paris", "Nantes"].map(|site| (site.to_owned(), vec![peer(site)]));
    sites[0].1.extend_from_slice(more);
    let services = [("front", 8080), ("back", 8081)].map(|(name, port)| {
        let url = |site: &str| toml::Value::from(format!("http://{}", federation.host(site).at(port)));
        let endpoints = ["Berlin", "Paris", "Nantes"].map(|site| (site.to_owned(), url(site)));
        let endpoints = toml::Value::Table(endpoints.into_iter().collect());
        let table = [("name", name.into()), ("profile", "cloud".into()), ("endpoints", endpoints)];
        table.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    });
    let settings =
        Settings { peer: Some((federation.authority(), issued)), sites: sites.into(), services: services.into() };
    let mut files = Files::write(&host, settings)?;
    files.overlay(&profiles())?;
    Agent::start(&host, files)
}

/// A call from the second host.
fn call(agent: &Agent, federation: &Federation, fields: &str) -> anyhow::Result<String> {
    let mut client = agent.host().connect(federation.address("Berlin", "back"))?;
    Ok(said(&client.exchange(format!("GET / HTTP/1.1\r\nHost: back\r\n{fields}\r\n"))?))
}

fn asked(agent: &Agent, outcome: &str) -> anyhow::Result<f64> {
    Ok(agent.metric(&format!("cheops_workflow_asked_total{{outcome=\"{outcome}\"}}"))?.unwrap_or_default())
}

#[test]
fn an_agent_that_missed_a_note_asks() -> anyhow::Result<()> {
    let federation = cloud("")?;
    let fields = scope("{back: Paris}") + ID + "X-Auth-Token: alice\r\n";
    let mut client = federation.connect("Berlin", "front")?;
    let request = format!("POST /alone HTTP/1.1\r\nHost: front\r\nContent-Length: 0\r\n{fields}\r\n");
    assert_eq!(client.exchange(request)?.status, 200);
    // It was not there when the request came.
    let second = second(&federation, &[])?;
    let lives = || asked(&second, "unknown").is_ok_and(|count| count > 0.0);
    // The first question also makes the link, and may be too late.
    let known = || call(&second, &federation, UNKNOWN).is_ok_and(|site| site == "Berlin") && lives();
    assert!(eventually(SOON, known));
    assert_eq!(call(&second, &federation, ID)?, "Paris");
    assert_eq!(asked(&second, "known")?, 1.0);
    assert_eq!(call(&second, &federation, &(ID.to_owned() + "X-Auth-Token: of-the-service\r\n"))?, "Berlin");
    assert_eq!(call(&second, &federation, ID)?, "Paris");
    assert_eq!(asked(&second, "known")?, 1.0, "what it was told it knows");
    // Without an id nobody is asked.
    let unknown = asked(&second, "unknown")?;
    assert_eq!(call(&second, &federation, "")?, "Berlin");
    assert_eq!(asked(&second, "unknown")?, unknown);
    Ok(())
}

#[test]
fn an_agent_that_does_not_answer_is_not_waited_for() -> anyhow::Result<()> {
    let federation = cloud("")?;
    // Accepts, and says nothing.
    let silent = federation.host("Berlin").listen(federation.host("Berlin").at(7199))?;
    let second = second(&federation, &[silent.local_addr()?.to_string()])?;
    let began = Instant::now();
    assert_eq!(call(&second, &federation, UNKNOWN)?, "Berlin");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(asked(&second, "unanswered")?, 1.0);
    // For a while only the other one is asked; what it knows counts.
    let fields = scope("{back: Paris}") + ID;
    let mut client = federation.connect("Berlin", "front")?;
    let request = format!("POST /alone HTTP/1.1\r\nHost: front\r\nContent-Length: 0\r\n{fields}\r\n");
    assert_eq!(client.exchange(request)?.status, 200);
    assert!(eventually(SOON, || call(&second, &federation, ID).is_ok_and(|site| site == "Paris")));
    Ok(())
}
