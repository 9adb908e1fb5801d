//! The lab does what tests believe that it does.

#[path = "lab/agents.rs"]
mod agents;
#[path = "lab/etcd.rs"]
mod etcd;

use std::path::Path;
use std::time::{Duration, Instant};

use cheops_tests::lab::{Client, End, Host, Service, Then, World, eventually};

const SOON: Duration = Duration::from_secs(40);

fn two() -> anyhow::Result<(World, Host, Host)> {
    let world = World::new()?;
    let (berlin, paris) = (world.site("Berlin")?, world.site("Paris")?);
    Ok((world, berlin, paris))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n")
}

/// The time from a request's start to its answer's end.
fn time(client: &mut Client) -> anyhow::Result<Duration> {
    let start = Instant::now();
    client.exchange(get("/"))?;
    Ok(start.elapsed())
}

/// The least of some, as a machine with other work to do makes any of them longer.
fn least(client: &mut Client) -> anyhow::Result<Duration> {
    let times = (0..8).map(|_| time(client)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(times.into_iter().min().unwrap_or_default())
}

#[test]
fn packets_take_as_long_as_the_link_says() -> anyhow::Result<()> {
    let (world, berlin, paris) = two()?;
    let _service = Service::start(&paris, "app", &[paris.at(8080)])?;
    let mut client = berlin.connect(paris.at(8080))?;
    let quick = least(&mut client)?;
    assert!(quick < Duration::from_millis(50), "{quick:?}");
    world.link("Berlin", "Paris").round_trip(Duration::from_millis(60));
    let slow = least(&mut client)?;
    assert!(slow >= Duration::from_millis(60) && slow < Duration::from_millis(150), "{slow:?}");
    world.one_way("Berlin", "Paris").delay(Duration::from_millis(130));
    let slower = least(&mut client)?;
    assert!(slower >= Duration::from_millis(160) && slower < Duration::from_millis(250), "{slower:?}");
    Ok(())
}

#[test]
fn jitter_spreads_and_keeps_order() -> anyhow::Result<()> {
    let (world, berlin, paris) = two()?;
    let _service = Service::start(&paris, "app", &[paris.at(8080)])?;
    let mut client = berlin.connect(paris.at(8080))?;
    world.link("Berlin", "Paris").jitter(Duration::from_millis(40));
    let times = (0..20).map(|_| time(&mut client)).collect::<anyhow::Result<Vec<_>>>()?;
    let spread = times.iter().max().zip(times.iter().min()).map(|(most, least)| *most - *least);
    assert!(spread > Some(Duration::from_millis(10)), "{times:?}");
    assert_eq!(client.exchange(get("/bytes/300000"))?.body.len(), 300_000);
    Ok(())
}

#[test]
fn loss_loses_and_tcp_recovers() -> anyhow::Result<()> {
    let (world, berlin, paris) = two()?;
    let _service = Service::start(&paris, "app", &[paris.at(8080)])?;
    let link = world.link("Berlin", "Paris");
    link.loss(0.05);
    let mut client = berlin.connect(paris.at(8080))?;
    assert_eq!(client.exchange(get("/bytes/1000000"))?.body.len(), 1_000_000);
    assert!(link.carried().lost > 0, "{:?}", link.carried());
    Ok(())
}

#[test]
fn a_cut_stops_everything_until_it_heals() -> anyhow::Result<()> {
    let (world, berlin, paris) = two()?;
    let _service = Service::start(&paris, "app", &[paris.at(8080)])?;
    let mut client = berlin.connect(paris.at(8080))?;
    time(&mut client)?;
    let link = world.link("Berlin", "Paris");
    link.cut();
    client.send(get("/"))?;
    assert!(client.silent_for(Duration::from_millis(400))?);
    let refused = berlin.connect_from(None, paris.at(8080), Duration::from_millis(300));
    assert_eq!(refused.err().map(|error| error.kind()), Some(std::io::ErrorKind::TimedOut));
    link.heal();
    assert_eq!(client.answer()?.site().as_deref(), Some("Paris"));
    Ok(())
}

#[test]
fn a_cut_can_be_of_one_direction() -> anyhow::Result<()> {
    let (world, berlin, paris) = two()?;
    let service = Service::start(&paris, "app", &[paris.at(8080)])?;
    let mut client = berlin.connect(paris.at(8080))?;
    world.one_way("Paris", "Berlin").cut();
    client.send(get("/one-way"))?;
    let requests = service.wait_for(1, SOON)?;
    assert_eq!(requests[0].line(), "GET /one-way HTTP/1.1");
    assert!(client.silent_for(Duration::from_millis(300))?);
    world.one_way("Paris", "Berlin").heal();
    assert_eq!(client.answer()?.status, 200);
    Ok(())
}

#[test]
fn isolation_spares_the_others() -> anyhow::Result<()> {
    let (world, berlin, paris) = two()?;
    let nantes = world.site("Nantes")?;
    let _service = Service::start(&paris, "app", &[paris.at(8080)])?;
    world.isolate("Berlin", true);
    assert_eq!(nantes.connect(paris.at(8080))?.exchange(get("/"))?.status, 200);
    let cut = berlin.connect_from(None, paris.at(8080), Duration::from_millis(300));
    assert!(cut.is_err());
    world.isolate("Berlin", false);
    assert_eq!(berlin.connect(paris.at(8080))?.exchange(get("/"))?.status, 200);
    Ok(())
}

#[test]
fn a_long_body_passes_quickly_and_a_rate_holds_it_back() -> anyhow::Result<()> {
    let (world, berlin, paris) = two()?;
    let _service = Service::start(&paris, "app", &[paris.at(8080)])?;
    let mut client = berlin.connect(paris.at(8080))?;
    let start = Instant::now();
    assert_eq!(client.exchange(get("/bytes/50000000"))?.body.len(), 50_000_000);
    let free = start.elapsed();
    println!("50 MB in {free:?}");
    assert!(free < SOON, "{free:?}");
    world.link("Berlin", "Paris").rate(1_000_000);
    let start = Instant::now();
    client.exchange(get("/bytes/1000000"))?;
    assert!(start.elapsed() > Duration::from_millis(800), "{:?}", start.elapsed());
    Ok(())
}

#[test]
fn ipv6_and_further_addresses_and_hosts_work() -> anyhow::Result<()> {
    let (world, berlin, paris) = two()?;
    let second = world.host("Paris", "second")?;
    paris.add_address("10.77.200.1".parse()?)?;
    let addresses = [(paris.ipv6(), 8080).into(), "10.77.200.1:8080".parse()?, "127.0.0.1:8080".parse()?];
    let _service = Service::start(&paris, "app", &addresses)?;
    for address in &addresses[..2] {
        for host in [&berlin, &second] {
            assert_eq!(host.connect(*address)?.exchange(get("/"))?.site().as_deref(), Some("Paris"));
        }
    }
    let refused = berlin.connect_from(None, addresses[2], Duration::from_secs(1));
    assert_eq!(refused.err().map(|error| error.kind()), Some(std::io::ErrorKind::ConnectionRefused));
    Ok(())
}

#[test]
fn a_service_records_each_byte_and_who_sent_it() -> anyhow::Result<()> {
    let (_world, berlin, paris) = two()?;
    let service = Service::start(&paris, "app", &[paris.at(8080)])?;
    let mut client = berlin.connect(paris.at(8080))?;
    let odd = "POST /echo?a=1 HTTP/1.1\r\nhOST: x\r\nX-Odd:  y \r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n0\r\nT: 1\r\n\r\n";
    let answer = client.exchange(odd)?;
    assert_eq!(answer.text(), odd);
    let requests = service.requests();
    assert_eq!((requests[0].raw.as_slice(), requests[0].peer), (odd.as_bytes(), client.local()?));
    client.send("GET /half HTTP/1.1\r\nHo")?.half_close()?;
    let requests = service.wait_for(2, SOON)?;
    assert!(!requests[1].complete);
    assert_eq!(requests[1].connection, 1);
    Ok(())
}

#[test]
fn a_service_speaks_all_kinds_of_http() -> anyhow::Result<()> {
    let (_world, berlin, paris) = two()?;
    let mut service = Service::start(&paris, "app", &[paris.at(8080)])?;
    service.script("/raw", "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok", Then::Keep);
    let mut client = berlin.connect(paris.at(8080))?;
    assert_eq!(client.exchange(get("/raw"))?.status, 299);
    assert_eq!(client.exchange(get("/status/503"))?.status, 503);
    assert_eq!(client.exchange(get("/status/204"))?.status, 204);
    assert_eq!(client.exchange(get("/chunked"))?.text(), "one two Paris\n");
    assert_eq!(client.exchange(get("/interim"))?.text(), "Paris\n");
    assert_eq!(client.exchange(get("/sse/2/10"))?.text(), "data: 1 Paris\n\ndata: 2 Paris\n\n");
    assert_eq!(client.exchange("HEAD /bytes/10 HTTP/1.1\r\nHost: x\r\n\r\n")?.body, b"");
    let expecting = "PUT /x HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    client.send(expecting)?;
    assert_eq!(client.read_until(b"\r\n\r\n")?, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.exchange("ab")?.json()?["method"], "PUT");
    assert_eq!(client.exchange(get("/upgrade"))?.status, 101);
    client.send("ping")?;
    assert_eq!(client.read_exact(4)?, b"ping");
    client.half_close()?;
    assert_eq!(client.ends()?, End::Closed);
    let mut other = berlin.connect(paris.at(8080))?;
    assert_eq!(other.exchange(get("/close"))?.text(), "Paris\n");
    let mut third = berlin.connect(paris.at(8080))?;
    third.send(get("/reset"))?;
    assert_eq!(third.ends()?, End::Reset);
    service.stop();
    assert!(berlin.connect(paris.at(8080)).is_err());
    service.restart()?;
    assert_eq!(berlin.connect(paris.at(8080))?.exchange(get("/"))?.status, 200);
    Ok(())
}

#[test]
fn programs_run_in_the_hosts_namespace_and_cgroup() -> anyhow::Result<()> {
    let (_world, berlin, paris) = two()?;
    let _service = Service::start(&paris, "app", &[paris.at(8080)])?;
    let cgroup = berlin.run("cat", &["/proc/self/cgroup"])?;
    let cgroup = String::from_utf8(cgroup.stdout)?;
    let wanted = berlin.cgroup().file_name().unwrap_or_default().to_string_lossy().into_owned();
    assert!(cgroup.lines().any(|line| line.starts_with("0::") && line.ends_with(&wanted)), "{cgroup}");
    let answer = berlin.curl(&[&format!("http://{}/", paris.at(8080))])?;
    assert_eq!((answer.status, answer.site().as_deref()), (200, Some("Paris")));
    Ok(())
}

#[test]
fn a_panic_leaves_nothing_behind() -> anyhow::Result<()> {
    let (tell, told) = std::sync::mpsc::channel();
    let panicked = std::thread::spawn(move || {
        let (world, berlin, paris) = two()?;
        let _service = Service::start(&paris, "app", &[paris.at(8080)])?;
        let held = berlin.connect(paris.at(8080))?;
        let child = berlin.command("sleep").arg("1000").spawn()?;
        let namespaces = [berlin.namespace().to_owned(), paris.namespace().to_owned()];
        tell.send((world.name().to_owned(), namespaces, berlin.cgroup().to_owned(), child.id(), held))?;
        panic!("on purpose");
        #[allow(unreachable_code, reason = "gives the closure its type")]
        Ok::<(), anyhow::Error>(())
    })
    .join();
    assert!(panicked.is_err());
    let (_, namespaces, cgroup, child, _held) = told.recv()?;
    for namespace in namespaces {
        assert!(!Path::new("/run/netns").join(&namespace).exists(), "{namespace}");
    }
    assert!(!cgroup.exists() && cgroup.parent().is_some_and(|world| !world.exists()));
    let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(" Z "), "{state}");
    Ok(())
}

#[test]
fn what_a_killed_test_left_is_swept_by_the_next_world() -> anyhow::Result<()> {
    let mut dead = std::process::Command::new("true").spawn()?;
    dead.wait()?;
    let name = format!("cheops-lab-{}-0-1-berlin", dead.id());
    assert!(std::process::Command::new("ip").args(["netns", "add", &name]).status()?.success());
    let _world = World::new()?;
    assert!(eventually(SOON, || !Path::new("/run/netns").join(&name).exists()));
    Ok(())
}
