//! Connections that reach the host from elsewhere.

use cheops_tests::lab::Service;
use cheops_tests::lab::taker::Guarding;

use crate::world::{Two, call_by, exchange, gained, is_ended};

#[test]
fn another_namespaces_client_is_taken_in_both_families() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let host = two.paris.clone();
    for to in [two.v4, two.v6] {
        two.reaches(&host, to, true)?;
    }
    assert_eq!(two.taker.count("arrive/taken")?, 2);
    assert_eq!(two.taker.count("announce/told")?, 2);
    Ok(())
}

#[test]
fn what_is_not_guarded_arrives_untouched() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let to = two.berlin.at(8099);
    let other = Service::start(&two.berlin, "other", &[to])?;
    let before = two.taker.counters()?;
    let client = exchange(&two.paris, to)?;
    assert_eq!(other.requests()[0].peer, client);
    assert!(gained(&before, &two.taker.counters()?).is_empty());
    Ok(())
}

#[test]
fn only_the_own_sites_endpoints_are_taken_on_arrival() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let (host, to) = (two.paris.clone(), two.v4);
    two.taker.guard(&[Guarding { address: to, own: false, refuse: false }])?;
    two.reaches(&host, to, false)
}

#[test]
fn a_connection_to_the_listener_itself_is_refused() -> anyhow::Result<()> {
    let mut two = Two::new()?;
    let listeners = two.taker.facts()?["listeners"].clone();
    for at in listeners.as_array().into_iter().flatten().filter_map(|at| at.as_str()) {
        let at: std::net::SocketAddr = at.parse()?;
        is_ended(&two.berlin, at)?;
    }
    let refused = two.taker.refused()?;
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused.iter().all(|why| why.contains("not taken")), "{refused:?}");
    assert_eq!(two.taker.taken()?, []);
    // From elsewhere they can't be reached at all.
    let called = call_by(two.paris.command("python3"), "refused", &two.v4.ip().to_string(), port(&listeners), &[])?;
    assert_eq!(called.errno.as_deref(), Some("ECONNREFUSED"));
    Ok(())
}

fn port(listeners: &serde_json::Value) -> u16 {
    let first = listeners[0].as_str().and_then(|at| at.parse::<std::net::SocketAddr>().ok());
    first.map_or(0, |at| at.port())
}
