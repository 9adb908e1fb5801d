//! What is revoked, and for how long.

use super::super::*;
use crate::metadata::record::{Revoked, now};
use std::time::Duration;

fn shown(site: &str, host: &str, issued: u64) -> Shown {
    let identity = PeerIdentity { federation: "edge".into(), site: site.into(), host: host.into() };
    Shown { identity, serial: "43".into(), issued, not_before: 0, not_after: 0 }
}

fn of(site: &str, host: Option<&str>, since: u64) -> Revoked {
    Revoked { site: site.into(), host: host.map(Into::into), since, expires: None }
}

#[test]
fn what_a_host_was_given_until_then_is_revoked() {
    let (revoked, then) = (Revocations::default(), now());
    revoked.learn([of("Berlin", Some("b1"), then), of("Paris", None, then)].iter());
    for (site, host, issued, hold) in [
        ("Berlin", "b1", then, true),
        ("Berlin", "b1", then + 1, false),
        ("Berlin", "b2", then, false),
        ("Paris", "p1", then, true),
        ("Paris", "p2", then - 9, true),
        ("Nantes", "b1", then, false),
    ] {
        assert_eq!(revoked.hold(&shown(site, host, issued)), hold, "{site}/{host}");
    }
}

#[test]
fn a_revocation_stays_whatever_becomes_of_its_record() {
    let (revoked, then) = (Revocations::default(), now());
    assert!(revoked.learn([of("Berlin", Some("b1"), then)].iter()));
    assert!(!revoked.learn([].iter()));
    assert!(!revoked.learn([of("Berlin", Some("b1"), then - 5)].iter()), "an older one is no news");
    assert!(revoked.hold(&shown("Berlin", "b1", then)));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("revoked.json");
    revoked.keep(&path).expect("written");
    assert!(Revocations::read(&path).hold(&shown("Berlin", "b1", then)));
    assert!(!Revocations::read(&directory.path().join("none")).hold(&shown("Berlin", "b1", then)));
}

#[test]
fn what_would_have_expired_anyway_is_forgotten() {
    let revoked = Revocations::default();
    let old = Revoked { expires: Some(now() - 2 * 86_400_000), ..of("Berlin", Some("b1"), 5) };
    assert!(!revoked.learn([old].iter()));
}

#[tokio::test]
async fn whoever_waits_is_told() {
    let revoked = Arc::new(Revocations::default());
    let (mine, theirs) = (shown("Berlin", "b1", 1), shown("Berlin", "b2", 1));
    let waits = {
        let (revoked, mine) = (revoked.clone(), mine.clone());
        tokio::spawn(async move { revoked.come(&mine).await })
    };
    revoked.learn([of("Berlin", Some("b1"), now())].iter());
    tokio::time::timeout(Duration::from_secs(60), waits).await.expect("in time").expect("it ends");
    let other = tokio::time::timeout(Duration::from_millis(50), revoked.come(&theirs)).await;
    assert!(other.is_err(), "another host is left alone");
}
