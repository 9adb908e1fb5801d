//! What the agent does where it can't do as if it weren't there: a service that is down, no descriptors left, the stop.

use std::time::Duration;

use cheops_tests::lab::{End, Federation, Offered, tell};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(40);
const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

/// One site with a service.
fn berlin() -> anyhow::Result<Federation> {
    Federation::builder().sites(&["Berlin"]).service(Offered::new("app", 8080)).start()
}

fn metric(federation: &Federation, begins: &str) -> anyhow::Result<f64> {
    Ok(federation.agent("Berlin").metric(begins)?.unwrap_or_default())
}

#[test]
fn a_service_that_is_down_costs_requests_502_and_other_traffic_a_reset() -> anyhow::Result<()> {
    let mut federation = berlin()?;
    let mut kept = federation.connect("Berlin", "app")?;
    assert_eq!(kept.exchange(GET)?.status, 200);
    federation.service_mut("Berlin", "app").stop();
    let mut client = federation.connect("Berlin", "app")?;
    let answer = client.exchange(GET)?;
    assert_eq!((answer.status, answer.json()?["code"].as_str()), (502, Some("service-unreachable")));
    assert!(answer.header("X-Cheops-Request").is_some());

    let mut other = federation.connect("Berlin", "app")?;
    other.send(b"\x16\x03\x01\x00\x05hello")?;
    assert_eq!(other.ends()?, End::Reset);

    federation.service_mut("Berlin", "app").restart()?;
    assert_eq!(client.exchange(GET)?.status, 200, "the same connection is good again");
    assert!(metric(&federation, "cheops_connections_refused_total{reason=\"service-unreachable\"}")? >= 1.0);
    tell("limits", "3 cases of a service that is down, and comes back");
    Ok(())
}

/// The connections that the agent took where they arrived are at the service's own address and port. They must not keep
/// the service from listening there again.
#[test]
fn a_service_can_start_again_while_its_clients_are_connected() -> anyhow::Result<()> {
    let mut federation = berlin()?;
    let elsewhere = federation.world().site("Nantes")?;
    let address = federation.address("Berlin", "app");
    let mut kept = elsewhere.connect(address)?;
    assert_eq!(kept.exchange(GET)?.status, 200);
    let open = federation.connect("Berlin", "app")?;
    let begun = elsewhere.connect(address)?;
    let service = federation.service_mut("Berlin", "app");
    service.stop();
    service.restart()?;
    assert_eq!(elsewhere.connect(address)?.exchange(GET)?.status, 200);
    drop((kept, open, begun));
    tell("limits", "1 cases of a service that starts again");
    Ok(())
}

#[test]
fn a_stop_lets_exchanges_end_and_closes_idle_connections_in_order() -> anyhow::Result<()> {
    let mut federation = berlin()?;
    let mut idle = federation.connect("Berlin", "app")?;
    assert_eq!(idle.exchange(GET)?.status, 200);
    let mut busy = federation.connect("Berlin", "app")?;
    busy.send("GET /slow/1000 HTTP/1.1\r\nHost: x\r\n\r\n")?;
    federation.service("Berlin", "app").wait_for(2, SOON)?;
    federation.agent("Berlin").signal(Signal::SIGTERM)?;
    assert_eq!(idle.ends()?, End::Closed);
    assert_eq!(busy.answer()?.status, 200);
    assert_eq!(busy.ends()?, End::Closed);
    let status = federation.agent_mut("Berlin").wait_end(SOON)?;
    assert!(status.success(), "{status}");
    assert_eq!(federation.get("Berlin", "app", "/a", None)?.status, 200, "the service is reached directly");
    tell("limits", "3 cases of a stop");
    Ok(())
}
