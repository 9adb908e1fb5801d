//! A cluster that is gone, in part, as a whole, or with all that it knew.

use cheops_tests::lab::{EtcdCluster, Federation};

use super::{SITES, add_service, metadata, serves, three, until, until_service, until_up, until_whole};

#[test]
fn two_of_three_gone_then_all() -> anyhow::Result<()> {
    let mut federation = three(EtcdCluster::debian())?;
    for site in ["Paris", "Nantes"] {
        federation.etcd().member(site).kill()?;
    }
    SITES.iter().for_each(|site| until_up(&federation, site, false));
    let said = metadata(&federation, "Berlin");
    assert!(said["why-not"].as_str().is_some_and(|why| why.contains("no leader")), "{said}");
    assert!(said["records"].as_u64() >= Some(12), "what is known stays known: {said}");
    serves(&federation, "Berlin", "{app: Nantes}")?;
    add_service(&mut federation, "Berlin", "without-quorum")?;

    federation.etcd().member("Berlin").kill()?;
    until("nobody answers", &federation, "Berlin", |said| {
        said["up"] == false && said["why-not"].as_str().is_some_and(|why| !why.contains("no leader"))
    });
    add_service(&mut federation, "Paris", "without-etcd")?;
    for site in SITES {
        serves(&federation, site, "{app: Nantes || Berlin}")?;
        assert_eq!(federation.agent(site).admin("/readyz")?.status, 200);
    }

    for member in federation.etcd().members() {
        member.start()?;
    }
    federation.etcd().wait_ready()?;
    for site in SITES {
        until_service(&federation, site, "without-quorum");
        until_service(&federation, site, "without-etcd");
    }
    until_whole(&federation);
    Ok(())
}

/// Nothing that was known is forgotten, and each site writes its own again.
fn begins_anew(federation: &Federation) {
    for site in SITES {
        until("all of it is written again", federation, site, |said| {
            said["up"] == true && said["stale"] == 0 && said["records"].as_u64() >= Some(12) && said["pending"] == 0
        });
    }
}

#[test]
fn a_cluster_that_was_wiped_is_told_everything_again() -> anyhow::Result<()> {
    let federation = three(EtcdCluster::today())?;
    federation.etcd().begin_anew(None)?;
    begins_anew(&federation);
    let noticed = federation.agent("Berlin").log().contains("wiped or restored");
    assert!(noticed, "its log says so");
    for site in SITES {
        serves(&federation, site, "{app: Nantes}")?;
    }
    let kept = federation.etcd().etcdctl(&["get", "--prefix", "--keys-only", "/cheops/lab/sites/"])?;
    assert!(SITES.iter().all(|site| kept.contains(&format!("sites/{site}/site"))), "{kept}");
    Ok(())
}

#[test]
fn a_cluster_that_was_restored_is_told_what_came_after() -> anyhow::Result<()> {
    let mut federation = three(EtcdCluster::debian())?;
    let snapshot = federation.etcd().snapshot()?;
    add_service(&mut federation, "Berlin", "after")?;
    SITES.iter().for_each(|site| until_service(&federation, site, "after"));
    federation.etcd().begin_anew(Some(&snapshot))?;
    begins_anew(&federation);
    for site in SITES {
        until_service(&federation, site, "after");
        serves(&federation, site, "{app: Nantes}")?;
    }
    let kept = federation.etcd().etcdctl(&["get", "--prefix", "--keys-only", "/cheops/lab/sites/Berlin/services/"])?;
    assert!(kept.contains("after"), "{kept}");
    Ok(())
}

#[test]
fn what_is_compacted_while_a_site_is_cut_off_is_learned() -> anyhow::Result<()> {
    let mut federation = three(EtcdCluster::debian())?;
    federation.world().isolate("Berlin", true);
    until_up(&federation, "Berlin", false);
    add_service(&mut federation, "Paris", "unseen")?;
    until_service(&federation, "Nantes", "unseen");
    for value in 0..20 {
        federation.etcd().etcdctl(&["put", "/elsewhere", &value.to_string()])?;
    }
    federation.etcd().compact()?;
    serves(&federation, "Berlin", "{app: Berlin}")?;
    add_service(&mut federation, "Berlin", "cut-off")?;
    federation.world().isolate("Berlin", false);
    until_service(&federation, "Berlin", "unseen");
    until_service(&federation, "Nantes", "cut-off");
    until_whole(&federation);
    Ok(())
}
