//! Hosts that leave.

use super::*;
use crate::metadata::record::Revoked;
use crate::metadata::store::StoreError;

async fn joined(cluster: &Cluster, by: &Host, site: &str, name: &str, signs: bool) -> Host {
    let host = patient(cluster, site, name, MS(500)).await;
    let token = by.token(site, Some(name), signs).await.expect("a token");
    host.joins(&token).await.expect("it joins");
    host.publish().await;
    host
}

/// The record that says that it lives.
fn lives(host: &Host) -> Write {
    let id = &host.membership.identity;
    Write::Put(Key::Liveness(id.site.clone(), id.host.clone()), Record::Liveness(Lives { started: now() }))
}

fn of_site(cluster: &Cluster, site: &str) -> Vec<String> {
    let part = format!("/{site}/");
    let kept = cluster.lock();
    kept.values.keys().filter(|key| key.contains(&part) && !key.contains("/revoked/")).cloned().collect()
}

fn revoked(host: &Host) -> Vec<Revoked> {
    let view = host.store.view();
    let revoked = view.iter().filter_map(|(_, record)| match record {
        Record::Revoked(revoked) => Some(revoked.clone()),
        _ => None,
    });
    revoked.collect()
}

/// What is on its way arrives before the host's records go, and what tells of the host is silent from then on.
#[tokio::test]
async fn nothing_of_a_host_that_leaves_comes_back() {
    let cluster = Cluster::default();
    let berlin = first(&cluster).await;
    let paris = joined(&cluster, &berlin, "Paris", "p1", false).await;
    paris.store.tell(lives(&paris));
    let leaves = {
        let membership = paris.membership.clone();
        tokio::spawn(async move { membership.leave(false).await })
    };
    while paris.store.write(lives(&paris)) != Err(StoreError::Changing) {
        assert!(!leaves.is_finished());
        tokio::task::yield_now().await;
    }
    paris.store.tell(lives(&paris));
    assert!(!leaves.is_finished(), "it didn't wait for what is on its way");
    cluster.flush(&paris.store).await;
    assert!(leaves.await.expect("done").expect("it leaves").revoked);
    paris.store.tell(lives(&paris));
    assert_eq!(paris.store.write(lives(&paris)), Err(StoreError::NotJoined));
    cluster.flush(&paris.store).await;
    assert_eq!(of_site(&cluster, "Paris"), Vec::<String>::new());
}

#[tokio::test]
async fn what_never_arrives_keeps_a_host_from_leaving() {
    let cluster = Cluster::default();
    let berlin = first(&cluster).await;
    let paris = joined(&cluster, &berlin, "Paris", "p1", false).await;
    paris.store.tell(lives(&paris));
    let error = paris.membership.leave(false).await.expect_err("it stays").to_string();
    assert!(error.contains("can't be reached"), "{error}");
    assert_eq!(paris.membership.standing().state, "joined");
    paris.store.write(lives(&paris)).expect("it goes on telling");
    assert!(!paris.membership.leave(true).await.expect("by force").revoked);
    assert_eq!(paris.store.pending(), [], "for a federation that it isn't in any more");
    assert_eq!(paris.membership.standing().state, "not-joined");
}

#[tokio::test]
async fn a_host_that_leaves_is_believed_no_more_and_may_come_again() {
    let cluster = Cluster::default();
    let berlin = first(&cluster).await;
    let paris = joined(&cluster, &berlin, "Paris", "p1", false).await;
    let place = Joined::at(&paris.directory);
    let before = paris.membership.load(&place, &place.certificate).expect("certificates").shown;
    paris.membership.leave(false).await.expect("it leaves");
    let told = revoked(&berlin);
    assert_eq!(told.iter().map(|one| (one.site.as_str(), one.host.is_some())).collect::<Vec<_>>(), [("Paris", true)]);
    // Who has learned it still reads it, though it is signed by the one that is revoked.
    let known = &berlin.membership.sealing.revoked;
    known.learn(told.iter());
    berlin.store.recheck();
    assert_eq!(revoked(&berlin), told);
    assert!(known.hold(&before), "the old certificate");
    let again = joined(&cluster, &berlin, "Paris", "p1", false).await;
    let place = Joined::at(&again.directory);
    assert!(!known.hold(&again.membership.load(&place, &place.certificate).expect("certificates").shown));
}

/// The others of its site stay, with all that is the site's.
#[tokio::test]
async fn one_of_two_hosts_takes_its_own_alone() {
    let cluster = Cluster::default();
    let berlin = first(&cluster).await;
    let one = joined(&cluster, &berlin, "Paris", "p1", false).await;
    let _other = joined(&cluster, &berlin, "Paris", "p2", false).await;
    one.membership.leave(false).await.expect("it leaves");
    let left = of_site(&cluster, "Paris");
    assert!(left.len() == 2 && left.iter().all(|key| key.ends_with("/p2")), "{left:?}");
}

#[tokio::test]
async fn the_last_host_takes_the_federation_with_it() {
    let cluster = Cluster::default();
    let berlin = first(&cluster).await;
    berlin.token("Paris", None, false).await.expect("a token");
    assert!(matches!(berlin.membership.leave(false).await, Err(MembershipError::OnlySigner)));
    berlin.membership.leave(true).await.expect("by force");
    assert!(cluster.lock().values.is_empty(), "{:?}", cluster.lock().values.keys());
    let paris = host(&cluster, "Paris", "p1").await;
    assert!(paris.membership.init(None).await.expect("another begins").signs);
}

/// The keys go first: what a crash leaves is no membership, and nothing that an `init` would go on with.
#[tokio::test]
async fn what_a_broken_leave_left_is_not_used() {
    let cluster = Cluster::default();
    let berlin = first(&cluster).await;
    let paris = joined(&cluster, &berlin, "Paris", "p1", true).await;
    let place = Joined::at(&paris.directory);
    for path in [&place.authority, &place.key] {
        std::fs::remove_file(path).expect("removed");
    }
    assert_eq!(paris.membership.standing().state, "not-joined");
    assert!(matches!(paris.membership.init(None).await, Err(MembershipError::Exists { .. })));
    place.remove().expect("removed");
    assert_eq!(std::fs::read_dir(&paris.directory).expect("a directory").count(), 0);
}
