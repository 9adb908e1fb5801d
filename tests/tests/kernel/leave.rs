//! Connections that processes of the host open.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};

use anyhow::Context;
use cheops_tests::lab::taker::Guarding;
use cheops_tests::lab::{CONNECT, Client, Service, eventually};
use socket2::SockRef;

use crate::world::{SOON, Two, URING, at6, call, call_by, exchange, gained, get};

#[test]
fn ipv4_is_taken_and_both_ends_see_each_other() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let (host, to) = (two.berlin.clone(), two.v4);
    two.reaches(&host, to, true)?;
    assert_eq!(two.taker.count("leave/taken")?, 1);
    assert_eq!(two.taker.count("steer/taken")?, 1);
    assert_eq!(two.taker.count("announce/told")?, 1);
    Ok(())
}

#[test]
fn native_ipv6_is_taken_and_both_ends_see_each_other() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let (host, to) = (two.berlin.clone(), two.v6);
    two.reaches(&host, to, true)?;
    assert_eq!(two.taker.count("leave/taken-v6")?, 1);
    assert_eq!(two.taker.count("accept/told-v6")?, 1);
    Ok(())
}

#[test]
fn a_v6only_socket_is_taken() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let called = call(&two.berlin, "v6only", two.v6)?;
    assert_eq!(called.status.as_deref(), Some("200"), "{called:?}");
    assert_eq!(called.peer, Some((two.v6.ip().to_string(), two.v6.port())));
    let seen = two.taker.taken()?;
    assert_eq!(seen.iter().map(|seen| seen.orig).collect::<Vec<_>>(), [two.v6]);
    assert_eq!(two.app.requests()[0].peer, seen[0].client);
    Ok(())
}

#[test]
fn an_ipv4_mapped_destination_is_taken_as_ipv4() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let mapped = format!("::ffff:{}", two.v4.ip());
    let called = call_by(two.berlin.command("python3"), "plain", &mapped, two.v4.port(), &[])?;
    assert_eq!(called.status.as_deref(), Some("200"), "{called:?}");
    assert_eq!(called.peer, Some((mapped.clone(), two.v4.port())));
    let (local, port) = called.local.context("no local address")?;
    assert_eq!(local, mapped, "the source that the route gives");
    let client = SocketAddr::new(two.v4.ip(), port);
    let seen = two.taker.taken()?;
    assert_eq!((seen[0].orig, seen[0].client), (two.v4, client));
    assert_eq!(two.app.requests()[0].peer, client);
    Ok(())
}

#[test]
fn several_services_on_one_address_are_told_apart() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let all: Vec<SocketAddr> = (8081..8086).map(|port| two.berlin.at(port)).collect();
    let _services = all
        .iter()
        .map(|at| Service::start(&two.berlin, &format!("app-{}", at.port()), &[*at]))
        .collect::<anyhow::Result<Vec<_>>>()?;
    two.taker.guard_own(&[all.as_slice(), &all].concat())?;
    for to in &all {
        let mut client = two.berlin.connect(*to)?;
        let answer = client.exchange(get("/"))?.json()?;
        assert_eq!(answer["service"], format!("app-{}", to.port()));
    }
    assert_eq!(two.taker.taken()?.iter().map(|seen| seen.orig).collect::<Vec<_>>(), all);
    Ok(())
}

#[test]
fn other_sites_endpoints_are_taken_too() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    for to in [two.paris.at(8090), at6(&two.paris, 8090)] {
        let remote = Service::start(&two.paris, "remote", &[to])?;
        two.taker.guard(&[Guarding { address: to, own: false, refuse: false }])?;
        let client = exchange(&two.berlin, to)?;
        let last = two.taker.taken()?.pop().context("not taken")?;
        assert_eq!((last.orig, last.client), (to, client));
        // Another host sees the agent; its address is this host's too.
        assert_eq!(remote.requests()[0].peer.ip(), client.ip());
    }
    Ok(())
}

#[test]
fn loopback_and_unspecified_destinations_are_the_same_endpoint() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    for (own, names) in [("127.0.0.1:8081", ["127.0.0.1", "0.0.0.0"]), ("[::1]:8082", ["::1", "::"])] {
        let own: SocketAddr = own.parse()?;
        let service = Service::start(&two.berlin, "local", &[own])?;
        two.taker.guard_own(&[own])?;
        for name in names {
            let called = call_by(two.berlin.command("python3"), "plain", name, own.port(), &[])?;
            assert_eq!(called.status.as_deref(), Some("200"), "{name}: {called:?}");
            assert_eq!(called.peer, Some((own.ip().to_string(), own.port())), "{name}");
            let last = two.taker.taken()?.pop().context("not taken")?;
            assert_eq!(last.orig, own, "{name}");
            assert_eq!(called.local, Some((last.client.ip().to_string(), last.client.port())), "{name}");
            assert_eq!(service.take_requests()[0].peer, last.client, "{name}");
        }
    }
    Ok(())
}

#[test]
fn a_source_that_the_client_chose_stays() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    for (to, more) in [(two.v4, "10.77.1.77"), (two.v6, "fd77:0:0:1::77")] {
        two.berlin.add_address(more.parse()?)?;
        let from = SocketAddr::new(more.parse()?, 0);
        let mut client = Client::new(two.berlin.connect_from(Some(from), to, CONNECT)?)?;
        client.exchange(get("/"))?;
        assert_eq!(client.local()?.ip(), from.ip());
        let last = two.taker.taken()?.pop().context("not taken")?;
        assert_eq!((last.orig, last.client), (to, client.local()?));
        assert_eq!(two.app.take_requests()[0].peer, client.local()?);
    }
    Ok(())
}

/// Whoever opens the connection, and however, it is taken and both ends see each other.
#[test]
fn every_way_to_connect_is_taken() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    for to in [two.v4, two.v6] {
        for how in ["plain", "thread", "fork", "nonblocking", "fastopen", "fastopen_data"] {
            let before = two.taker.taken()?.len();
            let called = call(&two.berlin, how, to).with_context(|| format!("{how} to {to}"))?;
            assert_eq!(called.status.as_deref(), Some("200"), "{how} to {to}: {called:?}");
            assert_eq!(called.peer, Some((to.ip().to_string(), to.port())), "{how} to {to}");
            let seen = two.taker.taken()?;
            assert_eq!(seen.len(), before + 1, "{how} to {to}");
            let client = seen[before].client;
            assert_eq!(seen[before].orig, to, "{how} to {to}");
            assert_eq!(called.local, Some((client.ip().to_string(), client.port())), "{how} to {to}");
            assert_eq!(two.app.take_requests()[0].peer, client, "{how} to {to}");
        }
    }
    Ok(())
}

#[test]
fn after_exec_and_by_io_uring_it_is_taken() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let to = two.v4.to_string();
    let url = format!("http://{to}/");
    for command in [vec!["sh", "-c", r#"exec curl --silent --noproxy '*' "$0""#, &url], vec![URING, &to]] {
        let before = two.taker.taken()?.len();
        let output = two.berlin.run(command[0], &command[1..])?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("Berlin"), "{command:?}: {output:?}");
        let seen = two.taker.taken()?;
        assert_eq!(seen.len(), before + 1, "{command:?}");
        assert_eq!(two.app.take_requests()[0].peer, seen[before].client, "{command:?}");
    }
    Ok(())
}

#[test]
fn mptcp_is_taken() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let called = call(&two.berlin, "mptcp", two.v4)?;
    assert_eq!(called.status.as_deref(), Some("200"), "{called:?}");
    assert_eq!(called.peer, Some((two.v4.ip().to_string(), two.v4.port())));
    assert_eq!(two.taker.taken()?[0].orig, two.v4);
    Ok(())
}

#[test]
fn two_hundred_connections_at_once_are_all_right() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let clients = std::thread::scope(|scope| {
        let each: Vec<_> = (0..200)
            .map(|number| {
                let (host, to) = if number % 4 < 2 {
                    (&two.berlin, if number % 4 == 0 { two.v4 } else { two.v6 })
                } else {
                    (&two.paris, if number % 4 == 2 { two.v4 } else { two.v6 })
                };
                scope.spawn(move || exchange(host, to).map(|client| (client, to)))
            })
            .collect();
        each.into_iter().map(|each| each.join().expect("no panic")).collect::<anyhow::Result<BTreeSet<_>>>()
    })?;
    let taken: BTreeSet<_> = two.taker.taken()?.into_iter().map(|seen| (seen.client, seen.orig)).collect();
    assert_eq!(taken, clients, "each client's address and destination, once");
    let peers: BTreeSet<_> = two.app.requests().into_iter().map(|request| request.peer).collect();
    assert_eq!(peers, clients.into_iter().map(|(client, _)| client).collect(), "the service saw each client");
    let mut last = serde_json::Value::Null;
    let forgotten = eventually(SOON, || {
        last = two.taker.dump_maps().map_or(serde_json::Value::Null, |maps| maps["pending"].clone());
        last == serde_json::json!([])
    });
    assert!(forgotten, "no entry outlives its connection's opening: {last}");
    Ok(())
}

#[test]
fn udp_is_untouched() -> anyhow::Result<()> {
    let two = Two::new()?;
    for to in [two.v4, two.v6] {
        let socket = two.berlin.within(|| UdpSocket::bind(to))??;
        socket.set_read_timeout(Some(SOON))?;
        let called = call(&two.berlin, "udp", to)?;
        let mut datagram = [0; 64];
        let (size, from) = socket.recv_from(&mut datagram)?;
        assert_eq!(&datagram[..size], b"datagram");
        assert_eq!(called.peer, Some((to.ip().to_string(), to.port())));
        assert_eq!(called.local, Some((from.ip().to_string(), from.port())));
    }
    Ok(())
}

#[test]
fn the_steered_range_can_not_be_named() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let number = two.taker.number(two.v4)?.context("guarded")?;
    let [_, a, b, c] = number.to_be_bytes();
    let (own, highest) = (format!("127.{}.{b}.{c}", 64 | a), "127.127.255.255".to_owned());
    for address in [own.clone(), highest, format!("::ffff:{own}")] {
        for port in [1, 80, 65535] {
            let called = call_by(two.berlin.command("python3"), "refused", &address, port, &[])?;
            assert_eq!(called.errno.as_deref(), Some("EPERM"), "{address} {port}");
        }
    }
    assert_eq!(two.taker.count("leave/named-refused")?, 9);
    // Its neighbours are ordinary loopback addresses.
    for address in ["127.63.0.1", "127.128.0.1"] {
        let called = call_by(two.berlin.command("python3"), "refused", address, 9, &[])?;
        assert_eq!(called.errno.as_deref(), Some("ECONNREFUSED"), "{address}");
    }
    assert_eq!(two.taker.taken()?, []);
    Ok(())
}

#[test]
fn what_is_not_guarded_is_untouched() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let to = two.berlin.at(8099);
    let other = Service::start(&two.berlin, "other", &[to])?;
    let before = two.taker.counters()?;
    let client = exchange(&two.berlin, to)?;
    assert_eq!(other.requests()[0].peer, client);
    assert_eq!(two.taker.taken()?, []);
    let gained = gained(&before, &two.taker.counters()?);
    assert_eq!(gained.into_iter().collect::<Vec<_>>(), [("leave/unguarded".to_owned(), 1)]);

    // What is let go is untouched too.
    two.taker.guard_own(&[])?;
    let (host, to) = (two.berlin.clone(), two.v4);
    two.reaches(&host, to, false)
}

#[test]
fn the_agents_own_connections_are_exempt() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    for to in [two.v4, two.v6] {
        let before = two.taker.counters()?;
        two.taker.dial(to, None)?;
        let gained = gained(&before, &two.taker.counters()?);
        assert_eq!(gained.into_iter().collect::<Vec<_>>(), [("leave/exempt".to_owned(), 1)]);
    }
    assert_eq!(two.taker.taken()?, []);
    Ok(())
}

#[test]
fn a_socket_bound_to_a_device_is_unbound_and_taken() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    for to in [two.v4, two.v6] {
        let called = call_by(two.berlin.command("python3"), "device", &to.ip().to_string(), to.port(), &["wan0"])?;
        assert_eq!(called.status.as_deref(), Some("200"), "{to}: {called:?}");
        assert_eq!(two.taker.taken()?.pop().context("not taken")?.orig, to);
    }
    assert_eq!(two.taker.count("leave/device-unbound")?, 2);
    Ok(())
}

/// What was noted of a socket's first connection is not told of its second.
#[test]
fn a_socket_that_is_connected_again_is_seen_anew() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let other = at6(&two.berlin, 8099);
    let direct = Service::start(&two.berlin, "direct", &[other])?;
    let mut client = two.berlin.connect(two.v6)?;
    client.exchange(get("/first"))?;
    let stream = client.into_stream();
    for to in [other, two.v6] {
        rustix::net::connect_unspec(&stream)?;
        let socket = SockRef::from(&stream);
        socket.set_nonblocking(false)?;
        socket.connect(&to.into())?;
        let mut again = Client::new(stream.try_clone()?)?;
        assert_eq!(stream.peer_addr()?, to);
        again.exchange(get("/again"))?;
    }
    assert_eq!(direct.requests()[0].line(), "GET /again HTTP/1.1");
    let orig: Vec<SocketAddr> = two.taker.taken()?.into_iter().map(|seen| seen.orig).collect();
    assert_eq!(orig, [two.v6, two.v6]);
    Ok(())
}
