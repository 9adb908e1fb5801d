//! What lasts: event streams, tunnels, slow readers, many at once.

use std::io::Read;
use std::time::Instant;

use super::*;
use cheops_tests::lab::{End, eventually};

/// Server-sent events come one by one, not when the answer is whole.
#[test]
fn events_arrive_as_they_are_sent() -> anyhow::Result<()> {
    let federation = three()?;
    let mut client = federation.connect("Berlin", "app")?;
    client.send(request("GET", "/sse/4/700", "{app: Paris}", ""))?;
    let mut times = Vec::new();
    for number in 1..=4 {
        client.read_until(format!("data: {number} Paris\n\n").as_bytes())?;
        times.push(Instant::now());
    }
    client.read_until(b"0\r\n\r\n")?;
    // Sent over 2.1 s; all at once at their end they would come together.
    assert!(times[3] - times[0] > Duration::from_millis(700), "{times:?}");
    Ok(())
}

/// An upgrade through a peer is a tunnel: both ways at once, and half-closes cross.
#[test]
fn an_upgrade_is_a_tunnel_to_the_other_site() -> anyhow::Result<()> {
    let federation = three()?;
    let mut client = federation.connect("Berlin", "app")?;
    client.send("GET /upgrade HTTP/1.1\r\nHost: app\r\nX-Scope: {app: Nantes}\r\nConnection: Upgrade\r\nUpgrade: lab-echo\r\n\r\n")?;
    assert!(client.read_until(b"\r\n\r\n")?.starts_with(b"HTTP/1.1 101 "));
    for round in 0..20 {
        let bytes = format!("{round}\0\r\n\r\nGET / HTTP/1.1");
        client.send(&bytes)?;
        assert_eq!(client.read_exact(bytes.len())?, bytes.as_bytes());
    }
    client.half_close()?;
    assert_eq!(client.ends()?, End::Closed);
    Ok(())
}

/// A client that goes away in the middle of a stream takes the exchange at the other site with it.
#[test]
fn a_client_that_goes_ends_its_stream_at_the_other_site() -> anyhow::Result<()> {
    let federation = three()?;
    let mut client = federation.connect("Berlin", "app")?;
    client.send(request("GET", "/sse/100000/20", "{app: Paris}", ""))?;
    client.read_until(b"data: 3 Paris")?;
    let open = |site: &str| federation.agent(site).metric("cheops_peer_exchanges_open").ok().flatten();
    drop(client);
    // The service's side of the connection goes: seen from its host.
    let connected = || {
        let output = federation.host("Paris").run("ss", &["-Htn", "state", "established", "sport", "=", ":8080"]);
        output.map(|output| String::from_utf8_lossy(&output.stdout).lines().count()).unwrap_or(usize::MAX)
    };
    assert!(eventually(SOON, || connected() == 0), "{} connections, {:?} exchanges", connected(), open("Paris"));
    Ok(())
}

/// 200 MB towards a client that reads nothing for a while: neither agent may hold more than its windows.
#[test]
fn a_slow_reader_costs_no_memory() -> anyhow::Result<()> {
    let federation = three()?;
    let resident = |site: &str| -> anyhow::Result<u64> {
        let pid = federation.agent(site).pid().unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        Ok(line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0))
    };
    let before = [resident("Berlin")?, resident("Paris")?];
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = federation.connect("Berlin", "app")?;
        client.send(request("GET", "/bytes/50000000", "{app: Paris}", ""))?;
        client.read_until(b"\r\n\r\n")?;
        clients.push(client);
    }
    // Others are served meanwhile, often enough for anything that grows to have grown.
    for _ in 0..20 {
        assert_eq!(federation.get("Berlin", "app", "/", Some("{app: Paris}"))?.status, 200);
    }
    for (site, before) in ["Berlin", "Paris"].into_iter().zip(before) {
        let now = resident(site)?;
        assert!(now < before + 40_000, "{site}: {before} KiB, then {now} KiB");
    }
    for client in clients {
        let mut stream = client.into_stream();
        let mut left = vec![0; 1 << 20];
        let mut sum = 0;
        while sum < 10_000_000 {
            sum += stream.read(&mut left)?;
        }
    }
    Ok(())
}

/// Many clients at once, at all sites, each with another mix: every answer is of the right site and for the right path.
#[test]
fn many_at_once_never_mix_answers_up() -> anyhow::Result<()> {
    let federation = three()?;
    let sites = ["Berlin", "Paris", "Nantes"];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..24)
            .map(|number| {
                let federation = &federation;
                scope.spawn(move || -> anyhow::Result<()> {
                    let mut client = federation.connect(sites[number % 3], "app")?;
                    for round in 0..25 {
                        let site = sites[(number + round) % 3];
                        let path = format!("/t/{number}/{round}");
                        let answer = client.exchange(request("POST", &path, &format!("{{app: {site}}}"), "x"))?;
                        assert_eq!(answer.site().as_deref(), Some(site));
                        assert_eq!(answer.json()?["path"], path.as_str());
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    let seen: usize = sites.iter().map(|site| federation.service(site, "app").requests().len()).sum();
    assert_eq!(seen, 24 * 25, "each request reached exactly one service");
    Ok(())
}
