//! Hosts that join a second time: after a crash, with what is of no use any more, or too late.

use super::*;
use crate::metadata::record::Revoked;
use crate::peer::trust::{Authority, Shown, Validity, Wanted};

/// What the host's certificate says.
fn shown(host: &Host) -> Shown {
    let joined = Joined::at(&host.directory);
    host.membership.load(&joined, &joined.certificate).expect("certificates of use").shown
}

#[tokio::test]
async fn a_lost_answer_is_given_again_to_the_same_key_by_any_that_signs() {
    let cluster = Cluster::default();
    let (berlin, nantes) = (first(&cluster).await, host(&cluster, "Nantes", "n1").await);
    let token = berlin.token("Nantes", None, true).await.expect("a token");
    nantes.joins(&token).await.expect("it joins");
    nantes.publish().await;
    let paris = patient(&cluster, "Paris", "p1", MS(500)).await;
    let token = berlin.token("Paris", None, false).await.expect("a token");
    paris.joins(&token).await.expect("it joins");
    // As after a crash before the certificate was written; who let it in is gone, too.
    std::fs::remove_file(paris.directory.join("host.pem")).expect("removed");
    drop(berlin);
    assert_eq!(token.addresses.len(), 2, "{:?}", token.addresses);
    let thief = patient(&cluster, "Paris", "p1", MS(500)).await;
    thief.refused(&token, "used or revoked already").await;
    let other = patient(&cluster, "Paris", "p2", MS(500)).await;
    std::fs::create_dir(&other.directory).expect("a directory");
    std::fs::copy(paris.directory.join("host.key"), other.directory.join("host.key")).expect("the key");
    other.refused(&token, "used or revoked already").await;
    assert_eq!(paris.joins(&token).await.expect("again").state, "joined");
    // It was used, so nobody can use it, take it back, or see it.
    assert_eq!(nantes.membership.tokens(), []);
    assert!(matches!(nantes.membership.revoke_token(&token.id).await, Err(MembershipError::NoToken(_))));
}

#[tokio::test]
async fn a_token_brings_nobody_back_who_was_revoked_since() {
    let cluster = Cluster::default();
    let (berlin, paris) = (first(&cluster).await, host(&cluster, "Paris", "p1").await);
    let token = berlin.token("Paris", None, false).await.expect("a token");
    paris.joins(&token).await.expect("it joins");
    let revoked = Revoked { site: "Paris".into(), host: None, since: now(), expires: None };
    berlin.membership.sealing.revoked.learn([&revoked].into_iter());
    std::fs::remove_file(paris.directory.join("host.pem")).expect("removed");
    paris.refused(&token, "used or revoked already").await;
    let token = berlin.token("Paris", None, false).await.expect("a token");
    paris.joins(&token).await.expect("with a new one");
    assert!(!berlin.membership.sealing.revoked.hold(&shown(&paris)));
}

/// Whoever revoked it may have had a clock that is ahead.
#[tokio::test]
async fn a_certificate_counts_though_the_last_one_was_revoked_later() {
    let cluster = Cluster::default();
    let (berlin, paris) = (first(&cluster).await, host(&cluster, "Paris", "p1").await);
    let until = |since| Revoked { site: "Paris".into(), host: Some("p1".into()), since, expires: None };
    berlin.membership.sealing.revoked.learn([&until(now() + 600_000)].into_iter());
    let token = berlin.token("Paris", None, false).await.expect("a token");
    paris.joins(&token).await.expect("it joins");
    assert!(!berlin.membership.sealing.revoked.hold(&shown(&paris)));
    paris.publish().await;
    assert!(berlin.store.view().get(&Key::Host("Paris".into(), "p1".into())).is_some(), "it is believed");
    // As far ahead no clock may be.
    berlin.membership.sealing.revoked.learn([&until(now() + 86_400_000)].into_iter());
    std::fs::remove_file(paris.directory.join("host.pem")).expect("removed");
    paris.refused(&token, "a clock was wrong").await;
}

#[tokio::test]
async fn certificates_live_as_long_as_whoever_signs_says() {
    let cluster = Cluster::default();
    let (berlin, paris) = (first(&cluster).await, host(&cluster, "Paris", "p1").await);
    let token = berlin.token("Paris", None, false).await.expect("a token");
    paris.joins(&token).await.expect("it joins");
    for host in [&berlin, &paris] {
        let life = shown(host).life();
        assert!(life.abs_diff(LIFE) < MS(60_000), "{life:?}");
    }
}

#[tokio::test]
async fn who_has_joined_is_told_that_there_is_nothing_to_do() {
    let cluster = Cluster::default();
    let berlin = first(&cluster).await;
    let token = berlin.token("Paris", None, false).await.expect("a token");
    let paris = host(&cluster, "Paris", "p1").await;
    paris.joins(&token).await.expect("it joins");
    for token in [token.clone(), Token { federation: "other".into(), ..token }] {
        let error = paris.joins(&token).await.expect_err("it has joined").to_string();
        assert!(error.contains("nothing to do") && error.contains("cheops site leave comes first"), "{error}");
    }
}

/// Whatever a crash, a full disk or a hand left: it isn't used, it is told, and the host can join.
#[tokio::test]
async fn certificates_of_no_use_are_as_none() {
    type Break = fn(&Joined);
    let breaks: [(&str, Break, bool); 6] = [
        ("no key", |joined| std::fs::remove_file(&joined.key).expect("removed"), false),
        (
            "another key",
            |joined| std::fs::write(&joined.key, Wanted::new().expect("a key").key).expect("written"),
            true,
        ),
        ("half a key", |joined| std::fs::write(&joined.key, "-----BEGIN").expect("written"), true),
        ("no authority", |joined| std::fs::remove_file(&joined.ca).expect("removed"), true),
        ("half a certificate", |joined| std::fs::write(&joined.certificate, "-----BEGIN").expect("written"), true),
        ("an old certificate", expire, true),
    ];
    let cluster = Cluster::default();
    let berlin = first(&cluster).await;
    let paris = host(&cluster, "Paris", "p1").await;
    let token = berlin.token("Paris", None, false).await.expect("a token");
    paris.joins(&token).await.expect("it joins");
    for (what, damage, told) in breaks {
        let joined = Joined::at(&paris.directory);
        let key = std::fs::read_to_string(&joined.key).expect("a key");
        damage(&joined);
        let standing = paris.membership.standing();
        assert_eq!((standing.state, standing.trouble.is_some()), ("not-joined", told), "{what}: {standing:?}");
        let token = berlin.token("Paris", None, false).await.expect("a token");
        assert_eq!(paris.joins(&token).await.expect(what).state, "joined", "{what}");
        assert_ne!(std::fs::read_to_string(&joined.key).expect("a key"), key, "{what}: a key that had a certificate");
    }
}

fn expire(joined: &Joined) {
    let read = |path| std::fs::read_to_string(path).expect("a file");
    let wanted = Wanted::again(&read(&joined.key)).expect("a key");
    let identity = PeerIdentity { federation: "edge".into(), site: "Paris".into(), host: "p1".into() };
    let authority = Authority::new("edge", Validity::days(1)).expect("an authority");
    let now = std::time::SystemTime::now();
    let past = Validity { not_before: now - MS(7_200_000), not_after: now - MS(3_600_000) };
    std::fs::write(&joined.ca, authority.certificate()).expect("written");
    let certificate = authority.sign(&identity, &wanted.request, past).expect("signed");
    std::fs::write(&joined.certificate, certificate).expect("written");
}

/// Each moment at which a joining agent can be killed: the next try with the same token goes on.
#[tokio::test]
async fn who_is_killed_while_it_joins_goes_on() {
    let cluster = Cluster::default();
    let (berlin, paris) = (first(&cluster).await, host(&cluster, "Paris", "p1").await);
    let token = berlin.token("Paris", None, true).await.expect("a token");
    paris.joins(&token).await.expect("it joins");
    let joined = Joined::at(&paris.directory);
    // What is written, in this order; the certificate counts when it has its own name.
    let order = [&joined.key, &joined.authority, &joined.ca, &joined.staged()];
    std::fs::rename(&joined.certificate, joined.staged()).expect("staged");
    for left in (1..=order.len()).rev() {
        for path in order.iter().skip(left) {
            drop(std::fs::remove_file(path));
        }
        assert_eq!(paris.membership.standing().state, "not-joined", "{left}");
        assert!(paris.joins(&token).await.unwrap_or_else(|error| panic!("after {left}: {error}")).signs);
        std::fs::rename(&joined.certificate, joined.staged()).expect("staged");
    }
}
