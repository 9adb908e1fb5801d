//! Members that come and go: leaders, and members that are silent while their connections stand.

use std::time::{Duration, Instant};

use cheops_tests::lab::{EtcdCluster, Federation, Offered, eventually, tell};

use super::{SOON, add_service, metadata, serves, three, until, until_service, until_up, until_whole};

/// A member that says nothing is left within this time: 8 s of silence, 4 s until others answered, and a busy machine.
const LEFT: Duration = Duration::from_secs(25);

#[test]
fn a_leader_that_goes_is_not_noticed_for_long() -> anyhow::Result<()> {
    let mut federation = three(EtcdCluster::debian())?;
    for round in 0..2 {
        let leader = federation.etcd().wait_leader(None)?;
        federation.etcd().member(&leader).kill()?;
        federation.etcd().wait_leader(Some(&leader))?;
        let service = format!("round-{round}");
        add_service(&mut federation, "Paris", &service)?;
        for site in super::SITES {
            until_service(&federation, site, &service);
            serves(&federation, site, "{app: Nantes}")?;
        }
        until("its writes are kept", &federation, "Paris", |said| said["up"] == true && said["pending"] == 0);
        federation.etcd().member(&leader).start()?;
        federation.etcd().wait_ready()?;
    }
    until_whole(&federation);
    // The one that leads is told, and who is up.
    let leader = federation.etcd().wait_leader(None)?;
    let told = || {
        let status =
            federation.agent("Berlin").admin("/v1/status").and_then(|answer| answer.json()).unwrap_or_default();
        let members = status["outlook"]["members"].as_array().cloned().unwrap_or_default();
        members.len() == 3
            && members
                .iter()
                .all(|member| member["up"] == true && (member["leads"] == true) == (member["name"] == *leader))
    };
    assert!(
        eventually(SOON, told),
        "{leader} leads: {:?}",
        federation.agent("Berlin").admin("/v1/status")?.json()?["outlook"]
    );
    Ok(())
}

#[test]
fn a_frozen_member_is_left_and_gone_back_to_when_it_is_nearer_for_long() -> anyhow::Result<()> {
    let mut federation = three(EtcdCluster::today())?;
    let own = federation.etcd().member("Berlin").client_url();
    until("the nearest is its own", &federation, "Berlin", |said| said["endpoint"] == *own);
    federation.agent_mut("Paris").kill9()?;
    let lives = |federation: &Federation| {
        let kept = federation.etcd().etcdctl(&["get", "--prefix", "--keys-only", "/cheops/lab/liveness/Paris/"]);
        kept.is_ok_and(|kept| kept.contains("Paris"))
    };
    assert!(lives(&federation), "its lease isn't over yet");

    // The connection stands, and nothing comes.
    federation.etcd().member("Berlin").sigstop()?;
    let begin = Instant::now();
    let left = || {
        let said = metadata(&federation, "Berlin");
        said["up"] == true && said["endpoint"].is_string() && said["endpoint"] != *own
    };
    assert!(eventually(LEFT, left), "{}", metadata(&federation, "Berlin"));
    tell("quorum", &format!("left a frozen member after {:?}", begin.elapsed()));
    serves(&federation, "Berlin", "{app: Nantes}")?;
    add_service(&mut federation, "Berlin", "more")?;
    until_service(&federation, "Nantes", "more");

    federation.etcd().member("Berlin").sigcont()?;
    let back = || metadata(&federation, "Berlin")["endpoint"] == *own;
    assert!(eventually(Duration::from_secs(90), back), "{}", metadata(&federation, "Berlin"));
    until_up(&federation, "Berlin", true);
    // By now an agent that died is known to be gone, and those that live are kept.
    assert!(eventually(SOON, || !lives(&federation)), "the lease of an agent that died is over");
    let kept = federation.etcd().etcdctl(&["get", "--prefix", "--keys-only", "/cheops/lab/liveness/"])?;
    assert!(kept.contains("Berlin") && kept.contains("Nantes"), "{kept}");
    Ok(())
}

/// Questions arrive and answers are lost, or the other way round; the connection stands for long.
#[test]
fn a_member_that_is_heard_one_way_only_is_left() -> anyhow::Result<()> {
    let cluster = EtcdCluster::today().at(&["Paris", "Nantes", "Lyon"]);
    let sites = ["Berlin", "Paris", "Nantes", "Lyon"];
    let mut federation =
        Federation::builder().sites(&sites).service(Offered::new("app", 8080)).etcd(cluster).start()?;
    let nearest = federation.etcd().member("Paris").client_url();
    until("the nearest is Paris's", &federation, "Berlin", |said| said["up"] == true && said["endpoint"] == *nearest);
    for answers in [true, false] {
        let current = metadata(&federation, "Berlin")["endpoint"].as_str().unwrap_or_default().to_owned();
        let at = federation.etcd().members().iter().find(|member| member.client_url() == current);
        let at = at.map_or("Paris", |member| member.site()).to_owned();
        let (from, to) = if answers { (at.as_str(), "Berlin") } else { ("Berlin", at.as_str()) };
        federation.world().one_way(from, to).cut();
        let begin = Instant::now();
        let left = || {
            let said = metadata(&federation, "Berlin");
            said["up"] == true && said["endpoint"].is_string() && said["endpoint"] != *current
        };
        assert!(eventually(LEFT, left), "{from} to {to}: {}", metadata(&federation, "Berlin"));
        tell("quorum", &format!("left a member that is cut off from {from} to {to} after {:?}", begin.elapsed()));
        federation.world().one_way(from, to).heal();
    }
    add_service(&mut federation, "Berlin", "more")?;
    until_service(&federation, "Lyon", "more");
    Ok(())
}
