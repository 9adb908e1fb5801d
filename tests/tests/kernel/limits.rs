//! Maps that are full refuse, and count it.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use cheops_agent::kernel::Sizes;
use cheops_tests::lab::taker::{Guarding, Taker};
use cheops_tests::lab::{CONNECT, Service, World, eventually};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::world::{SOON, TAKER, at6, exchange, get, is_ended};

#[test]
fn guarded_addresses_beyond_the_map_are_named_and_counted() -> anyhow::Result<()> {
    let world = World::new()?;
    let berlin = world.site("Berlin")?;
    // Two are the self-probe's.
    let mut taker = Taker::start_sized(&berlin, TAKER, Sizes { guarded: 4, ..Sizes::default() })?;
    let all: Vec<_> = (8081..8085).map(|port| berlin.at(port)).collect();
    let error = taker.guard_own(&all).expect_err("no room for two").to_string();
    assert!(error.contains("2 of the guarded addresses") && error.contains(":808"), "{error}");
    assert_eq!(taker.count("guard/full")?, 2);
    assert_eq!(taker.dump_maps()?["guarded"].as_array().map(Vec::len), Some(4));
    // What fits is taken, and there is room again when others go.
    taker.guard_own(&all[2..])?;
    let _app = Service::start(&berlin, "app", &[all[3]])?;
    exchange(&berlin, all[3])?;
    assert_eq!(taker.taken()?.len(), 1);
    taker.probe()?;
    Ok(())
}

/// A connection that hangs while it is opened fills a map of one.
#[test]
fn a_client_that_can_not_be_announced_is_refused() -> anyhow::Result<()> {
    let world = World::new()?;
    let (berlin, paris) = (world.site("Berlin")?, world.site("Paris")?);
    let (here, there) = (berlin.at(8080), paris.at(8080));
    let app = Service::start(&berlin, "app", &[here])?;
    let mut taker = Taker::start_sized(&berlin, TAKER, Sizes { pending: 1, ..Sizes::default() })?;
    let guard = |address, own| Guarding { address, own, refuse: false };
    taker.guard(&[guard(here, true), guard(there, false)])?;
    exchange(&berlin, here)?;

    world.link("Berlin", "Paris").cut();
    let hanging = berlin.connect(there)?;
    let full = |taker: &mut Taker| {
        taker.dump_maps().is_ok_and(|maps| maps["pending"].as_array().is_some_and(|all| all.len() == 1))
    };
    assert!(eventually(SOON, || full(&mut taker)), "the agent's connection is being opened");
    is_ended(&berlin, here)?;
    assert_eq!(taker.count("announce/pending-full-refused")?, 1);
    let why = taker.refused()?;
    assert!(why.len() == 1 && why[0].contains("permitted"), "{why:?}");
    assert_eq!(app.take_requests().len(), 1, "the service never saw the second");

    // Nobody listens there, so that the end of the cut ends the opening, and with it the entry.
    world.link("Berlin", "Paris").heal();
    let mut gone = || exchange(&berlin, here).is_ok();
    assert!(eventually(SOON, &mut gone), "there is room again");
    drop(hanging);
    Ok(())
}

#[test]
fn an_ipv6_connection_without_room_is_refused() -> anyhow::Result<()> {
    let world = World::new()?;
    let (berlin, paris) = (world.site("Berlin")?, world.site("Paris")?);
    let (here, there) = (at6(&berlin, 8080), at6(&paris, 8080));
    let _app = Service::start(&berlin, "app", &[here])?;
    let mut taker = Taker::start_sized(&berlin, TAKER, Sizes { pending: 1, ..Sizes::default() })?;
    let guard = |address, own| Guarding { address, own, refuse: false };
    taker.guard(&[guard(here, true), guard(there, false)])?;
    world.link("Berlin", "Paris").cut();
    let _hanging = berlin.connect(there)?;
    let refused = || {
        let error = berlin.connect_from(None, here, CONNECT).err();
        error.is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    assert!(eventually(Duration::from_secs(5), refused), "refused while the map is full");
    assert!(taker.count("leave/pending-full-refused")? > 0);
    Ok(())
}

/// What the map holds is for connections that are being opened: of open ones there may be more, and each is shown as it is.
#[test]
fn a_thousand_connections_more_than_the_map_holds_are_open_at_once() -> anyhow::Result<()> {
    const ROOM: u32 = 64;
    const CONNECTIONS: usize = 1064;
    // Clients and service are in this process, the agent's own are the taker's, which inherits this.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(20_000), hard)?;
    let world = World::new()?;
    let (berlin, paris) = (world.site("Berlin")?, world.site("Paris")?);
    let addresses = [berlin.at(8080), at6(&berlin, 8080)];
    let app = Service::start(&berlin, "app", &addresses)?;
    let mut taker = Taker::start_sized(&berlin, TAKER, Sizes { pending: ROOM, ..Sizes::default() })?;
    taker.guard_own(&addresses)?;
    let mut open = Vec::new();
    for number in 0..CONNECTIONS {
        let host = if number % 4 < 2 { &berlin } else { &paris };
        let mut client = host.connect(addresses[number % 2])?;
        assert_eq!(client.exchange(get("/echo"))?.status, 200, "connection {number}");
        open.push(client);
    }
    let clients = open.iter().map(cheops_tests::lab::Client::local).collect::<anyhow::Result<BTreeSet<_>>>()?;
    let peers: BTreeSet<_> = app.requests().into_iter().map(|request| request.peer).collect();
    assert_eq!((clients.len(), &peers), (CONNECTIONS, &clients), "the service saw each client");
    assert_eq!(taker.taken()?.len(), CONNECTIONS);
    for (client, number) in open.iter_mut().zip(0..) {
        assert_eq!(client.exchange(get("/echo"))?.status, 200, "connection {number}, again");
        assert_eq!(client.stream().peer_addr()?, addresses[number % 2]);
    }
    Ok(())
}
