//! Several agents on one machine don't touch each other; and what an agent leaves and tells.

use std::net::SocketAddr;

use anyhow::Context;
use cheops_agent::kernel::Sizes;
use cheops_tests::lab::taker::{Guarding, Taker};
use cheops_tests::lab::{Service, World};

use crate::world::{PORT, TAKER, Two, exchange};

#[test]
fn two_sites_side_by_side_do_not_touch_each_other() -> anyhow::Result<()> {
    let world = World::new()?;
    let hosts = [world.site("Berlin")?, world.site("Paris")?];
    // The same address at both, as with a virtual one.
    let same: SocketAddr = "10.99.0.1:8080".parse()?;
    let mut sites = Vec::new();
    for host in &hosts {
        host.ip("addr add 10.99.0.1/32 dev lo\n")?;
        let app = Service::start(host, "app", &[same, host.at(PORT)])?;
        let mut taker = Taker::start(host, TAKER)?;
        let guard = |address, own| Guarding { address, own, refuse: true };
        taker.guard(&[guard(same, true), guard(hosts[0].at(PORT), true), guard(hosts[1].at(PORT), true)])?;
        sites.push((app, taker));
    }
    for (host, (app, taker)) in hosts.iter().zip(&mut sites) {
        let client = exchange(host, same)?;
        assert_eq!(app.take_requests()[0].peer, client);
        assert_eq!(taker.taken()?.len(), 1, "its own agent took it, and only that one");
    }
    // From one site to the other: taken by both, first as leaving, then as arriving.
    let client = exchange(&hosts[0], hosts[1].at(PORT))?;
    for (_, taker) in &mut sites {
        let last = taker.taken()?.pop().context("not taken")?;
        assert_eq!((last.orig, last.client.ip()), (hosts[1].at(PORT), client.ip()));
    }
    let (_, paris) = sites.pop().context("two sites")?;
    paris.kill()?;
    exchange(&hosts[0], same)?;
    let (_, berlin) = &mut sites[0];
    assert_eq!(berlin.taken()?.len(), 3);
    berlin.probe()?;
    Ok(())
}

#[test]
fn an_agent_above_leaves_other_namespaces_be() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let above = two.berlin.cgroup().parent().context("the world's cgroup")?.to_owned();
    let mut paris = Taker::start_at(&two.paris, TAKER, &above)?;
    paris.guard_own(&[two.v4, two.v6])?;
    let (host, v4, v6) = (two.berlin.clone(), two.v4, two.v6);
    for to in [v4, v6] {
        two.reaches(&host, to, true)?;
    }
    assert_eq!(paris.taken()?, [], "the other namespace's connections are not its own");
    let counted = paris.counters()?;
    assert!(counted.values().all(|count| *count == 0), "{counted:?}");
    Ok(())
}

#[test]
fn an_agent_outside_of_its_tree_is_refused_with_the_reason() -> anyhow::Result<()> {
    let world = World::new()?;
    let (berlin, paris) = (world.site("Berlin")?, world.site("Paris")?);
    let error = Taker::start_at(&berlin, TAKER, paris.cgroup()).err().context("it started")?;
    let error = format!("{error:#}");
    assert!(error.contains("outside of the tree"), "{error}");
    let error = Taker::start_at(&berlin, TAKER, std::path::Path::new("/tmp")).err().context("it started")?;
    assert!(format!("{error:#}").contains("not a directory of cgroup2"), "{error:#}");
    Ok(())
}

#[test]
fn numbers_are_kept_over_restarts() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let (v4, v6) = (two.v4, two.v6);
    let numbers = [two.taker.number(v4)?, two.taker.number(v6)?];
    let Two { taker, berlin, app: _app, world: _world, .. } = two;
    let run_dir = taker.kill()?;
    let mut again = Taker::start_in(&berlin, TAKER, Sizes::default(), run_dir)?;
    let newer = berlin.at(9000);
    again.guard_own(&[newer, v6, v4])?;
    assert_eq!([again.number(v4)?, again.number(v6)?], numbers);
    assert!(again.number(newer)? > numbers.into_iter().max().flatten());
    Ok(())
}

#[test]
fn the_probe_is_taken_while_the_agent_takes() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    two.taker.probe()?;
    assert_eq!(two.taker.taken()?, [], "it is no client's");
    assert_eq!(two.taker.refused()?, Vec::<String>::new());
    assert_eq!(two.taker.count("leave/taken")?, 1);
    assert_eq!(two.taker.count("leave/taken-v6")?, 1);
    two.taker.hold(std::time::Duration::ZERO)?;
    let error = two.taker.probe().expect_err("nothing is taken").to_string();
    assert!(error.contains("127.63.255.254:1"), "{error}");
    Ok(())
}

/// Least privilege: what the unit of systemd grants.
#[test]
fn two_capabilities_are_enough() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let (host, v4, v6) = (two.berlin.clone(), two.v4, two.v6);
    two.taker = Taker::start_with(&host, TAKER, "+bpf,+net_admin")?;
    two.taker.guard_own(&[v4, v6])?;
    for to in [v4, v6] {
        two.reaches(&host, to, true)?;
    }
    two.taker.probe()?;
    let checks = two.taker.preflight()?;
    for check in checks.as_array().context("a list")? {
        assert_eq!(check["grade"], "ok", "{check}");
    }
    let error = Taker::start_with(&two.paris, TAKER, "+net_admin").err().context("it started")?;
    assert!(format!("{error:#}").contains("cheops check --pre"), "{error:#}");
    Ok(())
}

#[test]
fn a_listener_that_systemd_keeps_is_used() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let (host, to) = (two.berlin.clone(), two.v4);
    let kept = host.listen("127.0.0.1:0".parse()?)?;
    let at = kept.local_addr()?;
    two.taker = Taker::start_passed(&host, TAKER, kept.try_clone()?)?;
    two.taker.guard_own(&[to])?;
    assert_eq!(two.taker.facts()?["listeners"][0], at.to_string());
    two.reaches(&host, to, true)?;
    let paris = two.paris.clone();
    two.reaches(&paris, to, true)?;
    drop(kept);
    Ok(())
}

/// The first net against loops: what the agent listens on is never guarded.
#[test]
fn an_own_address_is_not_guarded_and_the_others_are() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let listeners = two.taker.facts()?["listeners"].clone();
    let own: SocketAddr = listeners[0].as_str().context("an address")?.parse()?;
    let error = two.taker.guard_own(&[own, two.v4]).expect_err("an own address").to_string();
    assert!(error.contains(&own.to_string()) && error.contains("agent itself"), "{error}");
    assert_eq!(two.taker.number(own)?, None);
    let (host, to) = (two.paris.clone(), two.v4);
    two.reaches(&host, to, true)
}
