//! The lab's clusters of etcd.

use std::time::Duration;

use cheops_tests::lab::{EtcdCluster, Host, World, eventually};

fn hosts(world: &World) -> anyhow::Result<Vec<Host>> {
    let hosts = ["Berlin", "Paris", "Nantes"].map(|site| world.site(site)).into_iter().collect();
    world.link("Berlin", "Paris").round_trip(Duration::from_millis(20));
    world.link("Berlin", "Nantes").round_trip(Duration::from_millis(60));
    world.link("Paris", "Nantes").round_trip(Duration::from_millis(60));
    hosts
}

#[test]
fn a_cluster_of_debians_moves_its_leader_and_begins_anew() -> anyhow::Result<()> {
    leads_and_begins_anew(EtcdCluster::debian())
}

#[test]
fn a_cluster_of_today_moves_its_leader_and_begins_anew() -> anyhow::Result<()> {
    leads_and_begins_anew(EtcdCluster::today())
}

fn leads_and_begins_anew(cluster: EtcdCluster) -> anyhow::Result<()> {
    let world = World::new()?;
    let etcd = cluster.start(&hosts(&world)?)?;
    let first = etcd.wait_leader(None)?;
    etcd.etcdctl(&["put", "a", "1"])?;
    let snapshot = etcd.snapshot()?;
    etcd.etcdctl(&["put", "b", "2"])?;
    etcd.compact()?;

    etcd.member(&first).sigstop()?;
    etcd.wait_leader(Some(&first))?;
    assert_eq!(etcd.etcdctl(&["get", "--print-value-only", "b"])?, "2\n");
    etcd.member(&first).sigcont()?;

    etcd.begin_anew(Some(&snapshot))?;
    assert_eq!(etcd.etcdctl(&["get", "--print-value-only", "a"])?, "1\n");
    assert_eq!(etcd.etcdctl(&["get", "--print-value-only", "b"])?, "");
    etcd.begin_anew(None)?;
    assert_eq!(etcd.etcdctl(&["get", "--print-value-only", "a"])?, "");

    let [one, two, _] = etcd.members() else { anyhow::bail!("a cluster of three") };
    one.kill()?;
    two.kill()?;
    assert!(eventually(Duration::from_secs(10), || etcd.leader().is_none()), "one of three doesn't lead");
    Ok(())
}

#[test]
fn a_cluster_with_users_asks_for_certificates_and_limits_each_site_to_its_own() -> anyhow::Result<()> {
    let world = World::new()?;
    let etcd = EtcdCluster::debian().tls().users().start(&hosts(&world)?)?;
    let as_berlin = |arguments: &[&str]| {
        let user = ["--user", "Berlin:password-of-Berlin"];
        etcd.etcdctl(&[&user, arguments].concat())
    };
    as_berlin(&["put", "/cheops/lab/sites/Berlin/site", "x"])?;
    as_berlin(&["put", "/cheops/lab/tokens/t", "x"])?;
    as_berlin(&["get", "--prefix", "/cheops/lab/"])?;
    let refused = as_berlin(&["put", "/cheops/lab/sites/Paris/site", "x"]);
    assert!(refused.is_err_and(|error| error.to_string().contains("permission denied")));
    Ok(())
}
