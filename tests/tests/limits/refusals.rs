//! What the agent does where it can't do as if it weren't there: a service that is down, no descriptors left, the stop.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context;
use cheops_tests::lab::{Client, End, Federation, Offered, eventually};
use nix::sys::signal::Signal;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

const SOON: Duration = Duration::from_secs(10);
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
    Ok(())
}

#[test]
fn without_descriptors_connections_are_reset_and_then_served_again() -> anyhow::Result<()> {
    let federation = berlin()?;
    let agent = federation.agent("Berlin");
    let pid = Pid::from_raw(i32::try_from(agent.pid().context("runs")?)?).context("a pid")?;
    let open = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()))?.count() as u64;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(open + 40), maximum: Some(open + 40) })?;

    let address = federation.address("Berlin", "app");
    let connect = || match federation.host("Berlin").connect_from(None, address, SOON) {
        // The reset can be faster than connect() returns.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
        connected => connected.map(Some),
    };
    let connections: Vec<Option<TcpStream>> = (0..120).map(|_| connect()).collect::<Result<_, _>>()?;
    // More than 40 descriptors' worth wait; those that can't be served end, the others go on.
    connections.iter().flatten().try_for_each(|stream| stream.set_nonblocking(true))?;
    let has_ended = |stream: &&Option<TcpStream>| match stream.as_ref().map(|stream| stream.peek(&mut [0])) {
        Some(Err(error)) => error.kind() == ErrorKind::ConnectionReset,
        Some(Ok(length)) => length == 0,
        None => true,
    };
    let ended = || connections.iter().filter(has_ended).count();
    assert!(eventually(SOON, || ended() > 40), "only {} of {} are told", ended(), connections.len());
    assert!(agent.log().lines().count() < 200, "it doesn't fill the log");
    drop(connections);
    let works = || {
        federation
            .connect("Berlin", "app")
            .and_then(|mut client| client.exchange(GET))
            .is_ok_and(|answer| answer.status == 200)
    };
    assert!(eventually(SOON, works), "it recovers by itself");
    assert!(metric(&federation, "cheops_limits_hit_total{limit=\"descriptors\"}")? >= 1.0);
    assert!(metric(&federation, "cheops_connections_refused_total{reason=\"descriptors\"}")? >= 1.0);
    Ok(())
}

#[test]
fn limits_of_connections_are_answered_503() -> anyhow::Result<()> {
    let federation = Federation::builder()
        .sites(&["Berlin"])
        .service(Offered::new("app", 8080))
        .overlay("[limits]\nconnections-per-client = 3")
        .start()?;
    let mut clients: Vec<Client> = (0..3).map(|_| federation.connect("Berlin", "app")).collect::<Result<_, _>>()?;
    for client in &mut clients {
        assert_eq!(client.exchange(GET)?.status, 200);
    }
    let answer = federation.connect("Berlin", "app")?.exchange(GET)?;
    assert_eq!((answer.status, answer.json()?["code"].as_str()), (503, Some("too-many-connections")));
    clients.pop();
    let again = || federation.get("Berlin", "app", "/a", None).is_ok_and(|answer| answer.status == 200);
    assert!(eventually(SOON, again), "a place came back");
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
    Ok(())
}
