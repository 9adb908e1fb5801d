//! Agents that probe each other, over links and with datagrams, on real sockets of one host.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::*;
use crate::metadata::{Site, Snapshot};
use crate::peer::trust::Authority;

/// A site's agent: server, client and board.
pub(super) struct Node {
    pub(super) liveness: Arc<Liveness>,
    address: SocketAddr,
    tasks: JoinSet<()>,
}

/// Makes agents of these sites that all know each other. `secure`: with certificates, and so with datagrams.
pub(super) async fn nodes(names: &[&str], secure: bool) -> Vec<Node> {
    let authority = authority();
    let mut servers = Vec::new();
    for name in names {
        let security = security(&authority, name, secure);
        let (any, me) = ("127.0.0.1:0".parse().expect("an address"), identity("edge", name, "h1"));
        let server = Server::bind(any, me, security, server_limits(), Arc::default()).await.expect("a server");
        let liveness = Liveness::new();
        servers.push((server.telling(liveness.clone()), liveness));
    }
    let addresses: Vec<SocketAddr> = servers.iter().map(|(server, _)| server.local_addr().expect("one")).collect();
    let mut nodes = Vec::new();
    for (index, (server, liveness)) in servers.into_iter().enumerate() {
        let sites = names.iter().zip(&addresses).map(|(name, address)| {
            let own = *name == names[index];
            let peers = if own { Vec::new() } else { vec![address.to_string()] };
            ((*name).into(), Site { own, ..site(name, &peers) })
        });
        let snapshot = Arc::new(Snapshot { sites: sites.collect(), services: Vec::new() });
        let client = Client::new(security(&authority, names[index], secure), client_limits(), Arc::default());
        let mut tasks = JoinSet::new();
        let serve = Arc::new(By(|_| -> Serving { Box::pin(async {}) }));
        tasks.spawn(async move { server.run(serve, CancellationToken::new()).await });
        let (board, listen) = (liveness.clone(), addresses[index]);
        tasks.spawn(async move { board.beat(listen).await });
        let board = liveness.clone();
        tasks.spawn(async move { board.run(&client, move || snapshot.clone(), &[]).await });
        nodes.push(Node { liveness, address: addresses[index], tasks });
    }
    nodes
}

fn security(authority: &Authority, site: &str, secure: bool) -> Security {
    if secure { Security::Tls(trust(authority, &identity("edge", site, "h1"))) } else { Security::Insecure }
}

async fn until(condition: impl Fn() -> bool) {
    in_time(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

fn between(node: &Node, from: &str, to: &str) -> Option<Duration> {
    let distances = node.liveness.distances();
    let from = from.into();
    let mut all = distances.measured_by(&from);
    all.find(|(site, _)| site.as_str() == to).map(|(_, known)| known.rtt)
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_measure_both_ways_and_tables_are_handed_on() {
    let nodes = nodes(&["Berlin", "Paris", "Nantes"], true).await;
    let berlin = &nodes[0];
    let whole = || {
        let paris = berlin.liveness.site(&"Paris".into());
        paris.loss.is_some() && paris.loss_in.is_some() && paris.loss_out.is_some()
    };
    until(whole).await;
    let paris = berlin.liveness.site(&"Paris".into());
    assert_eq!((paris.state, paris.deaf, paris.one_way()), (PeerState::Alive, false, None));
    assert_eq!((paris.loss, paris.loss_out, paris.loss_in), (Some(0.0), Some(0.0), Some(0.0)));
    assert!(paris.hears() && paris.rtt_min.expect("one") <= paris.rtt.expect("one"));
    // Paris's own measurement of Nantes, known at Berlin; and nothing that Paris has from others.
    until(|| between(berlin, "Paris", "Nantes").is_some()).await;
    let row = berlin.liveness.distances();
    let sites: Vec<&str> = row.measured_by(&"Paris".into()).map(|(site, _)| site.as_str()).collect();
    assert_eq!(sites, ["Berlin", "Nantes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_agent_is_dead_in_time_and_its_knowledge_ages() {
    let mut nodes = nodes(&["Berlin", "Paris", "Nantes"], true).await;
    until(|| between(&nodes[0], "Paris", "Nantes").is_some()).await;
    nodes[1].tasks.shutdown().await;
    let died = Instant::now();
    until(|| nodes[0].liveness.site(&"Paris".into()).state == PeerState::Dead).await;
    assert!(died.elapsed() < SOON / 2, "{:?}", died.elapsed());
    let distances = nodes[0].liveness.distances();
    let (_, old) = distances.measured_by(&"Paris".into()).next().expect("still known");
    assert!(old.age > Duration::from_secs(2), "{old:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_datagrams_the_link_measures() {
    let nodes = nodes(&["Berlin", "Paris"], false).await;
    until(|| between(&nodes[0], "Berlin", "Paris").is_some()).await;
    let paris = nodes[0].liveness.site(&"Paris".into());
    assert_eq!((paris.state, paris.loss, paris.heard), (PeerState::Alive, None, None));
    assert!(nodes[0].address != nodes[1].address);
}
