//! Workflows outlive the agent's process: a planned change, and a crash.

use super::*;

const ID: &str = "X-Openstack-Request-Id: req-0a1b2c3d-0000-4111-8222-0123456789ab\r\n";
const LATER: &str = "X-Openstack-Request-Id: req-0a1b2c3d-0000-4111-8222-0123456789ff\r\n";

/// A scoped request to `front` that calls nothing itself.
fn begin(federation: &Federation, id: &str, bound: &str) -> anyhow::Result<()> {
    let mut client = federation.connect("Berlin", "front")?;
    let fields = scope(bound) + id + "X-Auth-Token: alices-token\r\n";
    let request = format!("POST /alone HTTP/1.1\r\nHost: front\r\nContent-Length: 0\r\n{fields}\r\n");
    assert_eq!(client.exchange(request)?.status, 200);
    Ok(())
}

/// Where a call with that id is served.
fn call(federation: &Federation, id: &str) -> anyhow::Result<String> {
    Ok(said(&ask(federation, "back", "/", id)?))
}

#[test]
fn an_agent_that_was_killed_still_knows_whose_calls_come() -> anyhow::Result<()> {
    let mut federation = cloud("")?;
    for _ in 0..2 {
        begin(&federation, ID, "{back: Paris}")?;
        let agent = federation.agent_mut("Berlin");
        agent.kill9()?;
        agent.restart()?;
        assert_eq!(call(&federation, ID)?, "Paris");
        let other = call(&federation, &(ID.to_owned() + "X-Auth-Token: of-the-service\r\n"))?;
        assert_eq!(other, "Berlin", "whose it is is known, too");
        assert_eq!(call(&federation, LATER)?, "Berlin");
    }
    // And the other site's agent, which had the request's ids from its envelope.
    let fields = scope("{front: Paris, back: Nantes}") + LATER;
    let mut client = federation.connect("Berlin", "front")?;
    let request = format!("POST /alone HTTP/1.1\r\nHost: front\r\nContent-Length: 0\r\n{fields}\r\n");
    assert_eq!(client.exchange(request)?.status, 200);
    let agent = federation.agent_mut("Paris");
    agent.kill9()?;
    agent.restart()?;
    let mut client = federation.connect("Paris", "back")?;
    let answer = client.exchange(format!("GET / HTTP/1.1\r\nHost: back\r\n{LATER}\r\n"))?;
    assert_eq!(said(&answer), "Nantes");
    Ok(())
}

/// The old agent goes on with what it has: both know what the other one's requests caused.
#[test]
fn a_successor_and_its_predecessor_know_each_others_workflows() -> anyhow::Result<()> {
    let federation = cloud("")?;
    let mut kept = federation.connect("Berlin", "back")?;
    let before = kept.exchange("GET / HTTP/1.1\r\nHost: back\r\n\r\n")?;
    assert_eq!(before.status, 200);
    begin(&federation, ID, "{back: Paris}")?;
    let agent = federation.agent("Berlin");
    let upgraded = agent.cheops(&["upgrade"])?;
    assert!(upgraded.status.success(), "{}", String::from_utf8_lossy(&upgraded.stderr));
    assert_eq!(call(&federation, ID)?, "Paris", "the successor knows what came before");
    begin(&federation, LATER, "{back: Nantes}")?;
    // The connection is the old agent's still, for one more request.
    let last = kept.exchange(format!("GET / HTTP/1.1\r\nHost: back\r\n{LATER}\r\n"))?;
    assert_eq!((said(&last).as_str(), last.header("Connection").as_deref()), ("Nantes", Some("close")));
    Ok(())
}

#[test]
fn a_broken_file_is_told_and_the_agent_runs_without() -> anyhow::Result<()> {
    let mut federation = cloud("")?;
    begin(&federation, ID, "{back: Paris}")?;
    let agent = federation.agent_mut("Berlin");
    agent.kill9()?;
    let directory = agent.files().directory().join("run/workflows");
    for entry in std::fs::read_dir(&directory)? {
        std::fs::write(entry?.path(), "nonsense\n")?;
    }
    agent.restart()?;
    agent.wait_log("ids of scoped requests that an agent wrote down can't be read", SOON)?;
    assert_eq!(call(&federation, ID)?, "Berlin");
    begin(&federation, ID, "{back: Paris}")?;
    assert_eq!(call(&federation, ID)?, "Paris");
    Ok(())
}
